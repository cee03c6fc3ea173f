"""The tables that both the live picture and the closing report show."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from loads.ledger import LOST
from loads.metrics.series import Series, SeriesKey
from loads.metrics.summary import AgentView, RunView
from loads.outputs import figures
from loads.outputs.layout import Cell, Column
from loads.outputs.stream import visible

Line = tuple[SeriesKey, Series]  # one measured line with its name


def by_hits(lines: Sequence[Line]) -> list[Line]:
    """The busiest first."""
    return sorted(lines, key=lambda line: (-line[1].count, line[0]))


def by_mean(lines: Sequence[Line]) -> list[Line]:
    """The slowest first."""
    return sorted(lines, key=lambda line: (-(line[1].latency.mean or 0.0), line[0]))


def trouble(number: int) -> Cell:
    """A count of errors: red when there are any."""
    return Cell(f"{number:,}", "red" if number else "")


def series_columns(
    lines: Sequence[Line], seconds: float | None, encoding: str, full_names: bool = False
) -> list[Column]:
    """Columns of hit series.

    With ``seconds`` the rate over so long is shown, without it the mean latency.  Unless
    ``full_names``, an origin that all URLs share is said once, as the title.
    """
    names = [visible(key.name, encoding) for key, _ in lines]
    title, names = ("URL", names) if full_names else _without_origin(names)
    mine = [series for _, series in lines]
    slow = [series.latency.percentiles((50, 95, 99)) for series in mine]
    methods = [Cell(visible(key.method, encoding)) for key, _ in lines]
    middle = (
        Column("Mean", [Cell(figures.latency(s.latency.mean)) for s in mine], rank=1)
        if seconds is None
        else Column("Hits/s", [Cell(figures.rate(_rate(s.count, seconds))) for s in mine], rank=6)
    )
    columns = [
        Column("", methods, rank=1, right=False),
        Column(title, [Cell(name) for name in names], elastic=True, right=False),
        Column("Hits", [Cell(f"{series.count:,}") for series in mine]),
        middle,
        Column("p50", [Cell(figures.latency(row[0])) for row in slow], rank=4),
        Column("p95", [Cell(figures.latency(row[1])) for row in slow], rank=2),
        Column("p99", [Cell(figures.latency(row[2])) for row in slow], rank=5),
        Column("Errors", [trouble(series.errors) for series in mine], rank=3),
    ]
    return columns if any(cell.text for cell in methods) else columns[1:]


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _without_origin(names: list[str]) -> tuple[str, list[str]]:
    origins = {name: _origin(name) for name in names}
    found = {origin for origin in origins.values() if origin}
    if len(found) != 1 or not all(origins.values()):
        return "URL", names
    (origin,) = found
    return origin, [name[len(origin) :] or "/" for name in names]


def _origin(name: str) -> str:
    try:
        parts = urlsplit(name)
    except ValueError:
        return ""
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin if parts.scheme and parts.netloc and name.startswith(origin) else ""


def is_lost(agent: AgentView) -> bool:
    """Whether some of what an agent did is not known."""
    return agent.state == LOST or agent.unknown != 0


def shows_agents(view: RunView) -> bool:
    """Whether agents are worth a table: in a distributed run, or when something was lost."""
    return bool(view.agents) and (view.plan.agents > 0 or any(map(is_lost, view.agents)))


def agent_columns(agents: Sequence[AgentView], encoding: str) -> list[Column]:
    """Columns of agents."""
    lost = any(map(is_lost, agents))
    columns = [
        Column("Agent", _texts([a.agent_id for a in agents], encoding), elastic=True, right=False),
        Column("Host", _texts([a.host for a in agents], encoding), rank=3, right=False),
        Column("Workers", [Cell(f"{a.workers:,}") for a in agents], rank=4),
        Column(
            "State",
            [Cell(visible(a.state, encoding), "red" if is_lost(a) else "") for a in agents],
            rank=1,
            right=False,
        ),
        Column("Hits", [Cell(f"{a.hits:,}") for a in agents]),
    ]
    unknown = [Cell(_unknown(a.unknown), "red" if is_lost(a) else "") for a in agents]
    return [*columns, Column("Unknown", unknown, rank=2)] if lost else columns


def _unknown(hits: int | None) -> str:
    if hits is None:
        return "not known"
    return f"up to {hits:,}" if hits else "0"


def _texts(texts: Sequence[str], encoding: str) -> list[Cell]:
    return [Cell(visible(text, encoding)) for text in texts]
