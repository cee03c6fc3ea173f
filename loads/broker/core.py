"""The broker as a function: events in, actions out.

Nothing here waits, sends, reads a clock or makes up an identifier.  The shell
(:mod:`loads.broker.server`) feeds :meth:`Core.handle` and carries out what it returns.

A run goes from ``preparing`` (its agents load the test) to ``running`` to ``ended``, by way of
``stopping`` when it is ended early.  Every state is left: by the agents' messages, by a deadline,
or by the silence of an agent, which makes its part ``lost``.  A run ends when all its parts have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loads.broker.actions import (
    Action,
    Event,
    FromAgent,
    FromClient,
    Log,
    Publish,
    Tick,
    ToAgent,
    ToClient,
    WrongVersion,
)
from loads.broker.placement import choose, is_idle
from loads.broker.state import Agent, Part, Run
from loads.errors import ExitCode, LoadsError, RemoteProtocolError
from loads.ledger import LOST, Delta, Entry
from loads.metrics.tally import Tally
from loads.protocol import messages as m
from loads.protocol.liveness import Liveness


@dataclass(frozen=True)
class Settings:
    """What the shell knows and the core does not.

    ``epoch`` is what to add to the monotonic clock for the time of day; all others but the texts
    are in seconds.
    """

    version: str = ""
    backend: str = ""
    publisher: str = ""
    epoch: float = 0.0
    heartbeat: float = 1.0
    agent_timeout: float = 10.0
    prepare_timeout: float = 120.0
    stop_slack: float = 15.0  #: beyond the grace period, for agents to report the end
    start_delay: float = 0.1  #: so that the slowest link has the start before it is due
    publish_interval: float = 0.25
    kept_runs: int = 100


class Core:
    """All that the broker decides."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.agents: dict[str, Agent] = {}
        self.runs: dict[str, Run] = {}
        self._now = 0.0
        self._actions: list[Action] = []
        self._from_agent: dict[type[m.Message], Callable[[Agent, Any], None]] = {
            m.Ready: self._on_ready,
            m.CannotRun: self._on_cannot_run,
            m.Report: self._on_report,
            m.Finished: self._on_finished,
            m.Bye: self._on_bye,
        }
        self._from_client: dict[type[m.Message], Callable[[FromClient, Any], None]] = {
            m.Ping: self._on_ping,
            m.Submit: self._on_submit,
            m.StopRun: self._on_stop_run,
            m.GetRun: self._on_get_run,
        }

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about ``event``, which happened ``now`` on the monotonic clock, in order."""
        self._now = now
        self._actions = []
        if isinstance(event, FromAgent):
            self._hear_agent(event.peer, event.message)
        elif isinstance(event, FromClient):
            self._hear_client(event)
        elif isinstance(event, WrongVersion):
            self._actions.append(ToAgent(event.peer, m.Rejected(event.reason, event.hint)))
        elif isinstance(event, Tick):
            self._tick()
        return self._actions

    # -- agents: registration and liveness -----------------------------------------------------

    def _hear_agent(self, peer: bytes, message: m.Message) -> None:
        if isinstance(message, m.Register):
            self._on_register(peer, message)
            return
        agent = next((a for a in self.agents.values() if a.peer == peer), None)
        if agent is None:
            if not isinstance(message, m.Bye):
                self._actions.append(ToAgent(peer, m.WhoAreYou()))
            return
        agent.liveness.heard = self._now
        if agent.run_id and getattr(message, "run_id", agent.run_id) != agent.run_id:
            return  # about an earlier run, said before the agent heard that it was released
        try:
            agent.link.received(message)
        except RemoteProtocolError as error:
            self._log("warning", f"Agent {agent.agent_id}: {error.message}")
            return
        handler = self._from_agent.get(type(message))
        if handler is not None:
            handler(agent, message)

    def _on_register(self, peer: bytes, message: m.Register) -> None:
        """An agent that is new, or one that comes back and may be in the middle of a run."""
        rhythm = self.settings.heartbeat, self.settings.agent_timeout
        known = self.agents.get(message.agent_id)
        if known and (known.peer, known.attempt) == (peer, message.attempt) and known.greeting:
            known.liveness.heard = self._now
            self._tell(known, known.greeting)
            return
        if known is not None and known.run_id != message.run_id:
            self._lose(known, "was restarted")
        agent = self.agents[message.agent_id] = Agent(
            message.agent_id,
            peer,
            message.host,
            message.workers,
            message.version,
            Liveness.since(self._now, *rhythm),
            message.attempt,
        )
        agent.link.received(message)
        run = self._resumable(message)
        if run is not None:
            agent.run_id = run.run_id
            self._greet(agent, m.WelcomeBack(*rhythm))
            if run.state == "stopping":
                grace = run.deadline - self.settings.stop_slack - self._now
                self._tell(agent, m.StopLoad(run.run_id, max(0.0, grace)))
            self._log("info", f"Agent {agent.agent_id} is back in run {run.run_id}.")
            return
        if known is not None:
            self._lose(known, "came back too late")
        self._greet(agent, m.Welcome(*rhythm))
        self._log(
            "info",
            f"Agent {agent.agent_id} on {agent.host} registered with {agent.workers} workers; "
            f"{len(self.agents)} in all.",
        )

    def _greet(self, agent: Agent, greeting: m.Message) -> None:
        agent.greeting = greeting
        self._tell(agent, greeting)

    def _resumable(self, message: m.Register) -> Run | None:
        """The run that an agent comes back to, with its part of it open again."""
        run = self.runs.get(message.run_id)
        part = run.parts.get(message.agent_id) if run else None
        if run is None or part is None or run.state not in ("running", "stopping"):
            return None
        if part.state == "ended":
            return None
        run.reopen(part)
        return run

    def _on_bye(self, agent: Agent, message: m.Bye) -> None:
        del self.agents[agent.agent_id]
        self._lose(agent, f"left: {message.reason}" if message.reason else "left")
        self._log("info", f"Agent {agent.agent_id} left; {len(self.agents)} remain.")

    def _tell(self, agent: Agent, message: m.Message) -> None:
        agent.link.sent(message)
        agent.liveness.sent = self._now
        self._actions.append(ToAgent(agent.peer, message))

    # -- agents: their part of a run -------------------------------------------------------------

    def _open_part(self, agent: Agent, run_id: str) -> tuple[Run, Part] | None:
        """The run and part that an agent's message is about; None when it comes too late."""
        run = self.runs.get(run_id)
        if run is None or agent.run_id != run_id or run.state == "ended":
            return None
        return run, run.parts[agent.agent_id]

    def _on_ready(self, agent: Agent, message: m.Ready) -> None:
        open_part = self._open_part(agent, message.run_id)
        if open_part is None or open_part[1].state != "preparing":
            return
        run, part = open_part
        if any(run.part_of(worker) for worker in message.workers):
            self._fail(run, ExitCode.BROKER, f"Agent {agent.agent_id} names another's workers.", "")
            return
        part.state, part.workers = "ready", message.workers
        for worker in part.workers:
            run.ledger.expect(worker)
        if all(part.state == "ready" for part in run.parts.values()):
            self._start(run)

    def _start(self, run: Run) -> None:
        delay = self.settings.start_delay
        run.state, run.started_at = "running", self._now + delay
        run.started = self.settings.epoch + run.started_at
        for agent_id, part in run.parts.items():
            part.state = "running"
            self._tell(self.agents[agent_id], m.Start(run.run_id, delay))
        self._log("info", f"Run {run.run_id} started on {', '.join(run.parts)}.")

    def _on_cannot_run(self, agent: Agent, message: m.CannotRun) -> None:
        open_part = self._open_part(agent, message.run_id)
        if open_part is None:
            self._tell(agent, m.Release(message.run_id))
            return
        self._fail(open_part[0], message.code, message.message, message.hint)

    def _on_report(self, agent: Agent, message: m.Report) -> None:
        open_part = self._open_part(agent, message.run_id)
        if open_part is None:
            self._tell(agent, m.Release(message.run_id))
            return
        run, part = open_part
        if message.worker not in part.workers:
            return
        delta = Delta(
            message.worker,
            message.sequence,
            message.tally,
            message.users,
            message.ended,
            message.reason,
            message.unknown,
        )
        if run.ledger.merge(delta) is Entry.MERGED:
            run.unpublished.merge(message.tally)
        last = run.ledger.accounts[message.worker].last
        self._tell(agent, m.Acknowledge(run.run_id, message.worker, last))

    def _on_finished(self, agent: Agent, message: m.Finished) -> None:
        open_part = self._open_part(agent, message.run_id)
        agent.run_id = ""
        self._tell(agent, m.Release(message.run_id))
        if open_part is None:
            return
        run, part = open_part
        if run.state == "preparing":
            why = f"Agent {agent.agent_id} has no worker left before the start."
            self._fail(run, ExitCode.INCOMPLETE, why, "Did its box run out of memory?")
            return
        run.close(part, "ended", "never reported how it ended")
        self._end_if_over(run)

    def _lose(self, agent: Agent, why: str) -> None:
        """An agent is gone: what it reported stays, the rest is unknown."""
        run, agent.run_id = self.runs.get(agent.run_id), ""
        part = run.parts[agent.agent_id] if run else None
        if run is None or part is None or part.is_over or run.state == "ended":
            return
        if run.state == "preparing":
            self._fail(run, ExitCode.INCOMPLETE, f"Agent {agent.agent_id} {why} before the start.")
            return
        run.close(part, LOST, f"is lost: agent {agent.agent_id} {why}")
        self._end_if_over(run)

    # -- runs ------------------------------------------------------------------------------------

    def _fail(self, run: Run, code: int, error: str, hint: str = "") -> None:
        """A run cannot be run: its agents forget it."""
        run.error_code, run.error, run.hint = int(code), error, hint
        self._log("warning", f"Run {run.run_id} failed: {error}")
        self._release_all(run)
        self._end(run, "failed")

    def _release_all(self, run: Run) -> None:
        for agent_id, part in run.parts.items():
            agent = self.agents.get(agent_id)
            if agent is not None and agent.run_id == run.run_id:
                agent.run_id = ""
                self._tell(agent, m.Release(run.run_id))
            if not part.is_over:
                part.state = "ended"

    def _end_if_over(self, run: Run) -> None:
        if not all(part.is_over for part in run.parts.values()):
            return
        if run.stop_asked:
            self._end(run, "stopped")
        else:
            self._end(run, "incomplete" if run.ledger.lost else "finished")

    def _end(self, run: Run, status: Any) -> None:
        run.elapsed = self._elapsed(run)
        run.state, run.status = "ended", status
        self._publish(run)
        self._log("info", f"Run {run.run_id} ended: {status}, {run.ledger.total.hits:,} hits.")
        self.runs[run.run_id] = self.runs.pop(run.run_id)  # those that ended first come first
        ended = [r.run_id for r in self.runs.values() if r.state == "ended"]
        for run_id in ended[: max(0, len(ended) - self.settings.kept_runs)]:
            del self.runs[run_id]

    def _elapsed(self, run: Run) -> float:
        return max(0.0, self._now - run.started_at) if run.started_at else 0.0

    def _publish(self, run: Run) -> None:
        run.number += 1
        run.published_at = self._now
        update = m.Update(run.number, run.view(run.unpublished))
        run.unpublished = Tally()
        self._actions.append(Publish(run.run_id, update))

    # -- clients ---------------------------------------------------------------------------------

    def _hear_client(self, event: FromClient) -> None:
        handler = self._from_client.get(type(event.message))
        if handler is None:
            return
        try:
            handler(event, event.message)
        except LoadsError as error:
            self._refuse(event, int(error.exit_code), error.message, error.hint)

    def _answer(self, event: FromClient, reply: m.Message) -> None:
        self._actions.append(ToClient(event.peer, reply))

    def _refuse(self, event: FromClient, code: int, message: str, hint: str) -> None:
        request: int = event.message.request  # type: ignore[attr-defined]
        self._answer(event, m.Refused(request, code, message, hint))

    def _on_ping(self, event: FromClient, message: m.Ping) -> None:
        pong = m.Pong(
            message.request,
            self.settings.version,
            self.settings.backend,
            self.settings.publisher,
            agents=len(self.agents),
            idle_agents=sum(is_idle(agent) for agent in self.agents.values()),
            runs=sum(run.state != "ended" for run in self.runs.values()),
        )
        self._answer(event, pong)

    def _on_submit(self, event: FromClient, message: m.Submit) -> None:
        plan = message.plan
        chosen = choose(self.agents.values(), plan.agents)
        run = Run(
            event.fresh_id,
            plan,
            {agent.agent_id: Part(agent.agent_id, agent.host) for agent in chosen},
            deadline=self._now + self.settings.prepare_timeout,
        )
        self.runs[run.run_id] = run
        self._answer(event, m.Accepted(message.request, run.run_id))
        for agent in chosen:
            agent.run_id = run.run_id
            self._tell(agent, m.Prepare(run.run_id, plan, message.digest, message.bundle))
        self._log("info", f"Run {run.run_id}: {plan.target}, {plan.describe()}.")
        self._publish(run)

    def _on_stop_run(self, event: FromClient, message: m.StopRun) -> None:
        run = self._known_run(message.run_id)
        if run.state == "preparing":
            run.stop_asked = True
            self._release_all(run)
            self._end(run, "stopped")
        elif run.state in ("running", "stopping"):
            deadline = self._now + message.grace + self.settings.stop_slack
            if run.state == "stopping":
                deadline = min(deadline, run.deadline)  # to ask again does not put off the end
            run.state, run.stop_asked, run.deadline = "stopping", True, deadline
            for agent in self._agents_of(run):
                self._tell(agent, m.StopLoad(run.run_id, message.grace))
        self._send_snapshot(event, message.request, run)

    def _on_get_run(self, event: FromClient, message: m.GetRun) -> None:
        self._send_snapshot(event, message.request, self._known_run(message.run_id))

    def _known_run(self, run_id: str) -> Run:
        run = self.runs.get(run_id)
        if run is None:
            raise LoadsError(f"The broker knows no run {run_id}.", "It may have been forgotten.")
        return run

    def _agents_of(self, run: Run) -> list[Agent]:
        return [agent for agent in self.agents.values() if agent.run_id == run.run_id]

    def _send_snapshot(self, event: FromClient, request: int, run: Run) -> None:
        """Everything up to an update: what was not published yet is, so that none overlap."""
        if run.unpublished:
            self._publish(run)
        snapshot = m.RunSnapshot(request, run.number, run.view(run.ledger.total))
        self._answer(event, snapshot)

    # -- time ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        for agent in list(self.agents.values()):
            if agent.liveness.is_dead(self._now):
                silence = agent.liveness.silence(self._now)
                del self.agents[agent.agent_id]
                self._log("warning", f"Agent {agent.agent_id} is lost: silent for {silence:.0f} s.")
                self._lose(agent, f"was silent for {silence:.0f} s")
            elif agent.liveness.is_due(self._now):
                self._tell(agent, m.Heartbeat())
        for run in list(self.runs.values()):
            if run.state == "ended":
                continue
            run.elapsed = self._elapsed(run)
            self._check_deadline(run)
            if self._now - run.published_at >= self.settings.publish_interval:
                self._publish(run)

    def _check_deadline(self, run: Run) -> None:
        if run.state == "running" or self._now < run.deadline:
            return
        late = [part for part in run.parts.values() if part.state in ("preparing", "running")]
        names = ", ".join(part.agent_id for part in late)
        if run.state == "preparing":
            self._fail(
                run,
                ExitCode.INCOMPLETE,
                f"Not ready after {self.settings.prepare_timeout:g} s: {names}.",
                "Look at what these agents print: importing the test may hang there.",
            )
            return
        for part in late:
            run.close(part, LOST, f"is lost: agent {part.agent_id} did not stop in time")
        self._release_all(run)
        self._end_if_over(run)

    def _log(self, level: Any, text: str) -> None:
        self._actions.append(Log(level, text))
