"""The agent as a function: events in, actions out.

An agent has one run at a time.  It keeps every report until the broker has acknowledged it, and
says all of them again, in order, when it had to register anew.  While many are unacknowledged it
stops reading its workers; nothing is lost by that, because what they record adds up in
their own memory and is all in the next delta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from loads.agent.actions import (
    Action,
    BoxLoad,
    BrokerVersion,
    DropExtension,
    DropRun,
    Event,
    ExtensionFailed,
    ExtensionReady,
    FromBroker,
    Leave,
    LoadFailed,
    Log,
    Measured,
    PrepareExtension,
    PrepareRun,
    SampleWorker,
    StartExtension,
    StartWorkers,
    StopWorkers,
    Terminate,
    Tick,
    ToBroker,
    WorkersReady,
)
from loads.agent.run import Run
from loads.agent.settings import Settings
from loads.errors import ExitCode, RemoteProtocolError
from loads.ledger import Delta
from loads.protocol import messages as m
from loads.protocol.dialogue import Link, Side, State
from loads.protocol.limits import clipped
from loads.protocol.liveness import Liveness

REPEAT = 5.0  #: seconds without an acknowledgement after which reports are said again
LAPSE = 1.0  #: seconds between two events, of which ticks are most, that an agent at work may need

__all__ = ["Core", "Settings"]


class Core:
    """All that an agent decides."""

    def __init__(self, settings: Settings, now: float) -> None:
        self.settings = settings
        self.link = Link(Side.AGENT)
        self.liveness = Liveness.since(now, settings.heartbeat, settings.timeout)
        self.run: Run | None = None
        self.decided: list[Action] = []  #: what handle gave last; if it raised, as far as it came
        self._leaving = ""
        self._load: float | None = None
        self._now = now
        self._alone = 0.0  # seconds of listening in vain; none for which we were stopped ourselves
        self._handlers: dict[type[m.Message], Callable[[Any], None]] = {
            m.Welcome: self._on_welcome,
            m.WelcomeBack: self._on_welcome_back,
            m.Rejected: self._on_rejected,
            m.WhoAreYou: self._on_who_are_you,
            m.Prepare: self._on_prepare,
            m.Start: self._on_start,
            m.Extend: self._on_extend,
            m.StopLoad: self._on_stop_load,
            m.Acknowledge: self._on_acknowledge,
            m.Release: self._on_release,
        }

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about ``event``, which happened ``now`` on the monotonic clock, in order."""
        self._alone += min(now - self._now, LAPSE)
        self._now = now
        self.decided = []
        if isinstance(event, FromBroker):
            self._hear(event.message)
        elif isinstance(event, BrokerVersion):
            self.decided.append(Leave(int(ExitCode.BROKER), event.reason, event.hint))
        elif isinstance(event, WorkersReady):
            self._on_workers_ready(event)
        elif isinstance(event, LoadFailed):
            self._on_load_failed(event)
        elif isinstance(event, ExtensionReady):
            self._on_extension_ready(event)
        elif isinstance(event, ExtensionFailed):
            self._answer(event.number, (), event.reason)
        elif isinstance(event, Measured):
            self._on_measured(event.delta)
        elif isinstance(event, Terminate):
            self._on_terminate(event)
        elif isinstance(event, BoxLoad):
            self._on_box_load(event)
        elif isinstance(event, Tick):
            self._tick()
        return self.decided

    def _tell(self, message: m.Message) -> None:
        self.link.sent(message)
        self.liveness.sent = self._now
        self.decided.append(ToBroker(message))

    def _log(self, level: Any, text: str) -> None:
        self.decided.append(Log(level, text))

    # -- the broker ------------------------------------------------------------------------------

    def _hear(self, message: m.Message) -> None:
        self.liveness.heard, self._alone = self._now, 0.0
        try:
            in_time = self.link.received(message)
        except RemoteProtocolError as error:
            self._log("warning", f"The broker broke the protocol: {error.message}")
            return
        handler = self._handlers.get(type(message))
        if in_time and handler is not None:
            handler(message)

    def _register(self) -> None:
        own = self.settings
        again = self.link.state is State.REGISTERING
        self._tell(
            m.Register(
                own.agent_id,
                own.host,
                own.pid,
                own.workers,
                own.version,
                self.run.run_id if self.run else "",
                self.link.attempt if again else self.link.attempt + 1,
                own.cores,
                own.orphan_timeout,
            )
        )

    def _on_welcome(self, message: m.Welcome) -> None:
        self._keep_rhythm(message.heartbeat, message.timeout)
        self._log("info", "Registered with the broker; waiting for runs.")
        if self.run is not None:
            self._log("warning", f"The broker no longer knows run {self.run.run_id}: dropped.")
            self._drop()

    def _on_welcome_back(self, message: m.WelcomeBack) -> None:
        self._keep_rhythm(message.heartbeat, message.timeout)
        self._log("info", "The broker is back; the run goes on.")
        if self.run is not None and self.run.abandoned and not self.run.started:
            self._give_up(self.run.abandoned)
        else:
            self._say_ready()
            self._say_extensions()
            self._say_again()

    def _keep_rhythm(self, heartbeat: float, timeout: float) -> None:
        self.liveness.interval, self.liveness.timeout = heartbeat, timeout

    def _on_rejected(self, message: m.Rejected) -> None:
        self.decided.append(Leave(int(ExitCode.BROKER), message.reason, message.hint))

    def _on_who_are_you(self, message: m.WhoAreYou) -> None:
        self._register()

    # -- a run -----------------------------------------------------------------------------------

    def _on_prepare(self, message: m.Prepare) -> None:
        handed_over = message.plan.on_agent_loss == "redistribute"
        self.run = Run(message.run_id, message.turn, handed_over=handed_over)
        self._log("info", f"Run {message.run_id}: {message.plan.target}.")
        self.decided.append(
            PrepareRun(message.run_id, message.plan, message.digest, message.bundle)
        )

    def _on_workers_ready(self, event: WorkersReady) -> None:
        if self.run is None or self.run.last_word is not None:
            return
        self.run.workers = event.workers
        self.run.watch(event.workers)
        self._say_ready()

    def _say_ready(self) -> None:
        if self.run is not None and self.run.workers and self.link.may_send(m.Ready):
            self._tell(m.Ready(self.run.run_id, self.run.workers, self.run.turn))

    def _on_load_failed(self, event: LoadFailed) -> None:
        if self.run is None or self.run.last_word is not None:
            return
        self._log("warning", f"Run {self.run.run_id} cannot be run: {event.message}")
        self.run.last_word = m.CannotRun(
            self.run.run_id,
            event.code,
            clipped(event.message),
            clipped(event.hint),
        )
        self._say_last_word()

    def _give_up(self, why: str) -> None:
        self._never_ready(f"Agent {self.settings.agent_id} gave up: {why}.")

    def _never_ready(self, why: str) -> None:
        self._on_load_failed(LoadFailed(int(ExitCode.INCOMPLETE), why, ""))

    def _on_start(self, message: m.Start) -> None:
        run = self.run
        if run is None:
            return
        if run.interval is None:
            # each agent at another moment, or the broker would hear all of them at once
            share = crc32(self.settings.agent_id.encode()) / (1 << 32)
            run.sampled_at = self._now - share * message.report_interval
        run.interval = message.report_interval
        if not run.started and not run.abandoned:  # as when this is said again
            run.started = True
            self.decided.append(StartWorkers(message.delay))

    def _on_stop_load(self, message: m.StopLoad) -> None:
        self._stop(message.grace, "the run is being stopped")

    def _stop(self, grace: float, why: str) -> None:
        self.decided.append(StopWorkers(grace))
        if self.run is not None:
            self.run.stopping = True
            for number in self.run.pending:
                self._answer(number, (), why)

    def _on_release(self, message: m.Release) -> None:
        self._drop()

    def _drop(self) -> None:
        self.run = None
        self.decided.append(DropRun())
        if self._leaving:
            self._leave()

    def _abandon(self, why: str) -> None:
        """Stop the load without having been asked to, and have the result say so."""
        if self.run is not None and not self.run.abandoned:
            self.run.abandoned = why
            self._log("warning", f"The load is stopped: {why}.")
            self._stop(0.0, why)
            if not self.run.workers:
                self._give_up(why)

    # -- loads taken over ------------------------------------------------------------------------

    def _on_extend(self, message: m.Extend) -> None:
        run, number = self.run, message.number
        if run is None or isinstance(run.last_word, m.CannotRun) or number in run.pending:
            return
        if number in run.extensions:  # the answer was lost with a connection
            self._say_extensions()
            self._say_last_word()
            return
        run.extensions[number] = None
        run.last_word = None
        if run.stopping:
            self._answer(number, (), run.abandoned or "the load is being stopped")
            return
        self._log("info", f"Run {run.run_id}: taking over {message.plan.describe()}.")
        self.decided.append(PrepareExtension(number, message.plan))

    def _on_extension_ready(self, event: ExtensionReady) -> None:
        run = self.run
        if run is not None and event.number in run.pending:
            run.watch(event.workers)
            self.decided.append(StartExtension(event.number))
            self._answer(event.number, event.workers)

    def _answer(self, number: int, workers: tuple[str, ...], reason: str = "") -> None:
        """Say what became of a load that was to be taken over."""
        run = self.run
        if run is None or number not in run.pending:
            return
        answer = m.Extended(run.run_id, number, workers, clipped(reason))
        run.extensions[number] = answer
        if not workers:
            self._log("warning", f"Run {run.run_id}: nothing is taken over: {reason}.")
            self.decided.append(DropExtension(number))
        if self.link.may_send(m.Extended):  # or else it is said when the broker knows us again
            self._tell(answer)
        self._conclude()

    def _say_extensions(self) -> None:
        answers = self.run.extensions.values() if self.run is not None else ()
        for answer in answers:
            if answer is not None and self.link.may_send(m.Extended):
                self._tell(answer)

    # -- reports ---------------------------------------------------------------------------------

    def _on_measured(self, delta: Delta) -> None:
        run = self.run
        if run is None:
            return
        if delta.source not in run.unacknowledged:
            how = f": it {delta.reason}" if delta.reason else ""
            self._never_ready(f"Worker {delta.source} ended before all were ready{how}.")
            return
        report = run.report(delta)
        run.reported_at = self._now
        if self.link.may_send(m.Report):  # or else the broker has to learn first who we are
            self._tell(report)

    def _on_acknowledge(self, message: m.Acknowledge) -> None:
        run = self.run
        if run is None or message.worker not in run.unacknowledged:
            return
        waiting = run.unacknowledged[message.worker]
        while waiting and waiting[0].sequence <= message.sequence:
            waiting.popleft()
            run.reported_at = self._now
        self._conclude()

    def _conclude(self) -> None:
        """Say so when all is done and told."""
        run = self.run
        if run is not None and run.is_told and run.last_word is None:
            run.last_word = m.Finished(run.run_id)
            self._say_last_word()

    def _say_again(self) -> None:
        """Repeat, in order, all that the broker has not confirmed."""
        run = self.run
        if run is None:
            return
        run.reported_at = self._now
        if self.link.may_send(m.Report):
            for waiting in run.unacknowledged.values():
                for report in waiting:
                    self._tell(report)
        self._say_last_word()

    def _say_last_word(self) -> None:
        run = self.run
        if run is not None and run.last_word and self.link.may_send(type(run.last_word)):
            run.reported_at = self._now
            self._tell(run.last_word)

    # -- time ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self.link.state is State.CLOSED:
            return
        self._watch_broker()
        run = self.run
        if run is None:
            return
        interval = self.settings.sample_interval if run.interval is None else run.interval
        if self._now - run.sampled_at >= interval:
            run.sampled_at = self._now
            self.decided += map(SampleWorker, run.sources)
        if run.is_unconfirmed and self._now - run.reported_at >= REPEAT:
            self._say_again()

    def _watch_broker(self) -> None:
        """Heartbeats while it is there, registration while it is not."""
        if self.link.state is State.NEW:
            self._register()
        elif self.liveness.is_due(self._now):
            if self.liveness.is_dead(self._now) or self.link.state is State.REGISTERING:
                self._register()
            else:
                self._tell(m.Heartbeat(self._load))
        silence, patience = self._bears()
        if self.run is not None and silence > patience:
            self._abandon(f"orphaned, no word from the broker for {silence:.0f} s")
        if self.run is not None and self._leaving and self.liveness.is_dead(self._now):
            self._drop()  # nobody is there to be told

    def _bears(self) -> tuple[float, float]:
        """For how many seconds there is no broker, and for how many the load is kept up without.

        A heartbeat that is late is no reason to give up; nor is it that this box was stopped, and
        was not there to hear.  But where others take over from agents that are lost, we wait only
        as long as the broker waits for us, so that the target does not get the same load twice.
        """
        patience = max(self.settings.orphan_timeout, 3 * self.liveness.interval)
        if self.run is not None and self.run.handed_over:
            return self.liveness.silence(self._now), min(patience, self.liveness.timeout)
        return self._alone, patience

    def _on_box_load(self, event: BoxLoad) -> None:
        """Said at once, as an agent at work has no other reason for a heartbeat."""
        self._load = event.load
        if self.link.state not in (State.NEW, State.REGISTERING, State.CLOSED):
            self._tell(m.Heartbeat(self._load))

    # -- leaving ---------------------------------------------------------------------------------

    def _on_terminate(self, event: Terminate) -> None:
        """Leave; in the middle of a run, stop it first and report it to its end."""
        insisting, self._leaving = bool(self._leaving), event.reason
        if self.run is None:
            self._leave()
        elif insisting or not self.run.workers:
            self._drop()
        else:
            self._abandon(event.reason)

    def _leave(self) -> None:
        if self.link.state is not State.CLOSED:
            self._tell(m.Bye(clipped(self._leaving)))
        self.decided.append(Leave(int(ExitCode.OK), f"The agent leaves: {self._leaving}."))
