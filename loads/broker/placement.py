"""Which agents a run gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from loads.broker.state import Agent
from loads.errors import NotEnoughAgents
from loads.protocol.dialogue import State


def is_idle(agent: Agent) -> bool:
    """Whether an agent can be given a run."""
    return not agent.run_id and agent.link.state is State.IDLE


def idle_agents(agents: Iterable[Agent]) -> list[Agent]:
    """Those that can be given a run, in the order in which they are chosen: largest first."""
    idle = (agent for agent in agents if is_idle(agent))
    return sorted(idle, key=lambda agent: (-agent.workers, agent.agent_id))


def find_named(agents: Mapping[str, Agent], names: Iterable[str]) -> list[Agent]:
    """Reserve the agents of these names.  Raises :class:`NotEnoughAgents`."""
    found = []
    for name in names:
        agent = agents.get(name)
        if agent is None:
            raise NotEnoughAgents(f"There is no agent {name}.", "Has it left meanwhile?")
        if not is_idle(agent):
            raise NotEnoughAgents(f"Agent {name} is busy.", "Ask again when it is idle.")
        found.append(agent)
    return found


def choose(agents: Iterable[Agent], wanted: int) -> list[Agent]:
    """Reserve ``wanted`` idle agents, those with most workers first.

    Raises :class:`NotEnoughAgents`.
    """
    agents = list(agents)
    idle = idle_agents(agents)
    if len(idle) < wanted:
        busy = len(agents) - len(idle)
        have = f"{len(idle)} idle" + (f" and {busy} busy" if busy else "")
        raise NotEnoughAgents(
            f"The run asks for {wanted} agent{'s' if wanted > 1 else ''}, and the broker has "
            f"{have}.",
            "Start more with loads-agent, ask for fewer with -a"
            + (", or wait until others are done with --wait-for-agents." if busy else "."),
        )
    return idle[:wanted]
