"""Which agents a run gets."""

from __future__ import annotations

from collections.abc import Iterable

from loads.broker.state import Agent
from loads.errors import NotEnoughAgents
from loads.protocol.dialogue import State


def is_idle(agent: Agent) -> bool:
    """Whether an agent can be given a run."""
    return not agent.run_id and agent.link.state is State.IDLE


def choose(agents: Iterable[Agent], wanted: int) -> list[Agent]:
    """Reserve ``wanted`` idle agents, those with most workers first.

    Raises :class:`NotEnoughAgents`.
    """
    agents = list(agents)
    idle = sorted(
        (agent for agent in agents if is_idle(agent)),
        key=lambda agent: (-agent.workers, agent.agent_id),
    )
    if len(idle) < wanted:
        busy = len(agents) - len(idle)
        have = f"{len(idle)} idle" + (f" and {busy} busy" if busy else "")
        raise NotEnoughAgents(
            f"The run asks for {wanted} agent{'s' if wanted > 1 else ''}, and the broker has "
            f"{have}.",
            "Start more with loads-agent, ask for fewer with -a"
            + (", or wait until others are done." if busy else "."),
        )
    return idle[:wanted]
