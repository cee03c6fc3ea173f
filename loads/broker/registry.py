"""Who is there: agents come, are silent, come back and leave."""

from __future__ import annotations

from loads.broker.actions import KeyGone, ToAgent
from loads.broker.book import Book
from loads.broker.endings import Endings
from loads.broker.runs import Runs
from loads.broker.state import Agent, Run
from loads.protocol import messages as m
from loads.protocol.limits import clipped
from loads.protocol.liveness import Liveness


class Registry:
    """Keeps track of the agents, and tells the runs when one is gone."""

    def __init__(self, book: Book, runs: Runs, endings: Endings) -> None:
        self._book = book
        self._runs = runs
        self._endings = endings
        self._at: dict[bytes, Agent] = {}
        self._ticked_at = 0.0

    def at(self, peer: bytes) -> Agent | None:
        """The agent that speaks from an address, if it is registered, and with the same key.

        A peer may choose its address, and so that of another that was there before it.
        """
        agent = self._at.get(peer)
        return agent if agent is not None and agent.key == self._book.who.name else None

    def register(self, peer: bytes, message: m.Register) -> None:
        """An agent that is new, or one that comes back and may be in the middle of a run."""
        book = self._book
        known, key = book.agents.get(message.agent_id), book.who.name
        if (known is not None and known.key != key) or self._runs.is_awaited_of_another(
            message.agent_id, key
        ):
            self.refuse(peer, f"Another key's agent is called {message.agent_id}.", "")
            return
        if known is not None and known.greeting and known.is_repeated_by(peer, message):
            known.liveness.heard = book.now
            book.tell(known, known.greeting)
            return
        self._replace_at(peer, message.agent_id)
        if known is None and len(book.agents) >= book.settings.max_agents:
            self.refuse(
                peer,
                f"The broker has {len(book.agents):,} agents, and takes no more.",
                "Have some leave that are not needed; loads-runner --list-agents shows them.",
            )
            book.mention("warning", f"Agent {message.agent_id} is refused: there are too many.")
            return
        missing = None
        if known is not None:
            self._forget(known)
            missing = None if message.run_id else self._runs.missing_its_plan(known)
            if known.run_id != message.run_id and missing is None:
                self._endings.lose(known, "was restarted")
        agent = self._enter(peer, message)
        run = self._runs.resumable(agent)
        if run is not None:
            self._resume(agent, run)
            return
        self._greet(agent, m.Welcome(*self._rhythm, message.attempt))
        book.mention(
            "info",
            f"Agent {agent.agent_id} on {agent.host} registered with {agent.workers} "
            f"worker{'' if agent.workers == 1 else 's'}; {len(book.agents)} in all.",
        )
        self._runs.hand_over(agent)
        if missing is not None:
            self._runs.prepare_again(agent, missing)

    def _replace_at(self, peer: bytes, agent_id: str) -> None:
        """Who registers under another name than before, is no longer what it was."""
        other = self.at(peer)
        if other is not None and other.agent_id != agent_id:
            self._forget(other)
            self._endings.lose(other, f"is agent {agent_id} now")
            self._book.mention("info", f"Agent {other.agent_id} is agent {agent_id} now.")

    def _enter(self, peer: bytes, message: m.Register) -> Agent:
        agent = Agent(
            message.agent_id,
            peer,
            message.host,
            message.pid,
            message.workers,
            message.version,
            Liveness.since(self._book.now, *self._rhythm),
            message.cores,
            orphan_timeout=message.orphan_timeout,
            since=self._book.wall,
            key=self._book.who.name,
        )
        agent.link.received(message)
        self._book.agents[agent.agent_id] = self._at[peer] = agent
        return agent

    def _resume(self, agent: Agent, run: Run) -> None:
        self._greet(agent, m.WelcomeBack(*self._rhythm, agent.link.attempt))
        self._runs.resume(agent, run)
        self._book.mention("info", f"Agent {agent.agent_id} is back in run {run.run_id}.")

    def _greet(self, agent: Agent, greeting: m.Welcome | m.WelcomeBack) -> None:
        agent.greeting = greeting
        self._book.tell(agent, greeting)

    @property
    def _rhythm(self) -> tuple[float, float]:
        return self._book.settings.heartbeat, self._book.settings.agent_timeout

    def note_load(self, agent: Agent, message: m.Heartbeat) -> None:
        """How busy an agent's box is."""
        agent.load = message.load

    def take_leave(self, agent: Agent, message: m.Bye) -> None:
        """An agent leaves of its own will."""
        self._forget(agent)
        self._endings.lose(agent, f"left: {message.reason}" if message.reason else "left")
        self._book.mention("info", f"Agent {agent.agent_id} left; {len(self._book.agents)} remain.")

    def hear_last_words(self, peer: bytes, message: m.LastWords) -> None:
        """A worker has outlived its agent for so long.  Whatever it says, it need not say again."""
        book = self._book
        part = self._endings.on_last_words(message)
        if part is not None:
            agent = book.agents.get(part.agent_id)
            if agent is not None and agent.run_id == message.run_id:
                self._forget(agent)
            book.log("warning", f"Agent {part.agent_id} is lost: it was killed.")
            self._endings.bury(book.runs[message.run_id], part)
        book.do(ToAgent(peer, m.Release(message.run_id)))

    def send_away(self, event: KeyGone) -> None:
        """Agents whose key is good no longer leave, stop their load, and are not awaited."""
        for agent in [a for a in self._book.agents.values() if a.key == event.name]:
            self._forget(agent)
            self.refuse(agent.peer, event.reason, event.hint)
            self._book.mention("warning", f"Agent {agent.agent_id} was sent away: {event.reason}")
            self._endings.lose(agent, "was sent away, as its key is good no longer")
        self._endings.await_no_more(event.name)

    def tick(self) -> None:
        """Give up those that are silent for too long, and let the others know that we are here."""
        self._ticked_at = self._book.now
        self._book.each(self._book.agents.values(), self._see_to)

    def excuse_all(self) -> None:
        """When anything comes long after the last tick, it was the broker that was not there.

        Nobody is to blame for what was not heard meanwhile, whichever event is the first now.
        """
        book = self._book
        late = book.now - self._ticked_at - self._rhythm[0] if self._ticked_at else 0.0
        if late <= 0:
            return
        self._ticked_at += late
        for agent in book.agents.values():
            agent.liveness.heard += min(late, agent.liveness.silence(book.now))
        for run in book.runs.values():
            if run.state not in ("queued", "ended"):
                run.put_off(late)

    def _see_to(self, agent: Agent) -> None:
        book = self._book
        if agent.liveness.is_dead(book.now):
            silence = agent.liveness.silence(book.now)
            self._forget(agent)
            book.mention("warning", f"Agent {agent.agent_id} is lost: silent for {silence:.0f} s.")
            # it may only be out of reach: it keeps up its load for so long, and then says so
            back_until = agent.liveness.heard + agent.orphan_timeout + book.settings.lapse
            self._endings.lose(agent, f"was silent for {silence:.0f} s", back_until)
        elif agent.liveness.is_due(book.now):
            book.tell(agent, m.Heartbeat())

    def _forget(self, agent: Agent) -> None:
        if agent.run_id:
            _, part = self._book.part_of(agent)
            part.gone_since = agent.liveness.heard
        del self._book.agents[agent.agent_id]
        if self._at.get(agent.peer) is agent:
            del self._at[agent.peer]

    def refuse(self, peer: bytes, reason: str, hint: str) -> None:
        """An agent that is not heard is sent away."""
        self._book.do(ToAgent(peer, m.Rejected(clipped(reason), clipped(hint))))
