"""A check of a cluster: a tiny run on every idle agent, each on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loads.bundle import Bundle, pack
from loads.client import BrokerClient
from loads.clock import Clock
from loads.errors import ExitCode, NotEnoughAgents
from loads.health import TARGET
from loads.metrics.summary import RunView
from loads.plan import RunPlan
from loads.protocol.rows import AgentRow
from loads.transport.reactor import Reactor

PATIENCE = 30.0  #: seconds that an agent may take
INTERVAL = 0.05  #: seconds between two looks
AT_ONCE = 50  #: checks under way; a broker remembers more than that


@dataclass(frozen=True)
class Health:
    """What a check found out about an agent.

    ``ok`` is None for an agent that is busy, and so was left alone; ``reason`` then names its run,
    and else says what is wrong.  ``seconds`` is from the request to its result.
    """

    agent_id: str
    host: str
    ok: bool | None
    seconds: float | None = None
    reason: str = ""


class Checkup:
    """Checks all agents of a broker, many at once."""

    def __init__(self, client: BrokerClient, clock: Clock, patience: float = PATIENCE) -> None:
        self._client = client
        self._clock = clock
        self._patience = patience
        self._bundle: Bundle = pack(Path(), ())
        self._waiting: list[AgentRow] = []
        self._found: dict[str, Health] = {}
        self._open: dict[str, tuple[AgentRow, float]] = {}  # by run: its agent, and since when

    def run(self) -> list[Health]:
        """What is found out about each agent, by their identifiers.

        Raises :class:`NotEnoughAgents` when there is none.
        """
        agents = self._client.agents()
        if not agents:
            raise NotEnoughAgents("The broker has no agents.", "Start some with loads-agent.")
        self._waiting = list(agents)
        with Reactor(self._clock) as reactor:
            self._stop: Callable[[], None] = reactor.stop
            reactor.every(INTERVAL, self._look)
            reactor.run()
        return [self._found[agent.agent_id] for agent in agents]

    def _begin(self, agent: AgentRow) -> None:
        if agent.run_id:
            self._note(agent, None, f"busy with run {agent.run_id}")
            return
        # as many users as workers, so that each of them has one
        plan = RunPlan(TARGET, users=(agent.workers,), agents=1, grace=0.0)
        since = self._clock.monotonic()
        try:
            run_id = self._client.submit(plan, self._bundle, on=(agent.agent_id,))
        except NotEnoughAgents as error:
            self._note(agent, None, error.message)
        else:
            self._open[run_id] = (agent, since)

    def _look(self) -> None:
        while self._waiting and len(self._open) < AT_ONCE:
            self._begin(self._waiting.pop(0))
        for run_id, (agent, since) in list(self._open.items()):
            seconds = self._clock.monotonic() - since
            view = self._client.get(run_id).view
            if view.state == "ended":
                self._close(run_id, agent, view.exit_code is ExitCode.OK, seconds, _reason(view))
            elif seconds > self._patience:
                self._client.stop(run_id, 0.0)
                late = f"no result after {self._patience:g} s"
                self._close(run_id, agent, False, seconds, late)
        if not self._open:
            self._stop()

    def _close(self, run_id: str, agent: AgentRow, ok: bool, seconds: float, reason: str) -> None:
        del self._open[run_id]
        self._note(agent, ok, reason, seconds)

    def _note(
        self, agent: AgentRow, ok: bool | None, reason: str, seconds: float | None = None
    ) -> None:
        self._found[agent.agent_id] = Health(agent.agent_id, agent.host, ok, seconds, reason)


def _reason(view: RunView) -> str:
    """Why a check failed; empty when it did not."""
    if view.error:
        return view.error
    if view.tally.failures:
        failure = min(view.tally.failures)
        return f"{failure.type}: {failure.message}"
    return "; ".join(view.warnings)


def exit_code_of(checked: list[Health]) -> ExitCode:
    """What a command that checked these agents exits with."""
    return ExitCode.INCOMPLETE if any(health.ok is False for health in checked) else ExitCode.OK
