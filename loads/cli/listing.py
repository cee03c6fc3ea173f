"""Lists, as tables for people or as JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from loads.config import Configuration
from loads.errors import LoadsError
from loads.outputs import figures
from loads.outputs import json as json_output
from loads.outputs.layout import Cell, Column, joined, table
from loads.outputs.stream import visible
from loads.protocol.rows import AgentRow, RunRow
from loads.runners.checkup import Health


def show(
    settings: Configuration, data: dict[str, Any], columns: Sequence[Column], nothing: str
) -> None:
    """Print a table, or ``nothing`` where it has no rows; with ``--output json`` write the data.

    Raises :class:`LoadsError` when the file of the JSON cannot be written.
    """
    if "json" in settings.items("output"):
        filename = settings.text("output-json-filename") or json_output.STANDARD_OUTPUT
        try:
            json_output.write(json.dumps(data, indent=2) + "\n", filename)
        except OSError as error:
            raise LoadsError(f"{filename} cannot be written: {error.strerror}.") from error
        return
    if not columns[0].cells:
        click.echo(nothing)
        return
    on_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if on_terminal else None
    for line in table(columns, width):
        click.echo(joined([_styled(cell) for cell in line] if on_terminal else line))


def _styled(cell: Cell) -> Cell:
    """With the colour in the text: what rich would do takes longer to import than the list."""
    bold = cell.style == "bold"
    colour = None if bold else cell.style or None
    return Cell(click.style(cell.text, fg=colour, bold=bold or None))


def _column(
    title: str, texts: Iterable[object], style: Callable[[str], str] = lambda text: "", **how: Any
) -> Column:
    cells = [Cell(text, style(text)) for text in (visible(str(text)) for text in texts)]
    return Column(title, cells, **how)


def run_columns(rows: Sequence[RunRow]) -> list[Column]:
    """Columns of runs."""
    return [
        _column("Run", (row.run_id for row in rows), right=False),
        _column("State", map(_state, rows), _run_style, right=False),
        _column("Test", (row.target for row in rows), elastic=True, right=False),
        _column("Agents", (f"{row.agents:,}" for row in rows), rank=2),
        _column("Users", (f"{row.users:,}" for row in rows), rank=3),
        _column("Hits", (f"{row.hits:,}" for row in rows)),
        _column("Submitted", (_moment(row.submitted) for row in rows), rank=4, right=False),
        _column("Duration", (figures.clock(row.duration) for row in rows), rank=1),
        _column("By", (row.user_id or "-" for row in rows), rank=5, right=False),
    ]


def _state(row: RunRow) -> str:
    if row.state == "queued":
        return f"queued, {figures.ordinal(row.place)}"
    return row.status or row.state


def _run_style(state: str) -> str:
    return {"finished": "green", "running": "cyan", "incomplete": "red", "failed": "red"}.get(
        state, ""
    )


def agent_columns(rows: Sequence[AgentRow]) -> list[Column]:
    """Columns of agents."""
    return [
        _column("Agent", (row.agent_id for row in rows), elastic=True, right=False),
        _column("Host", (row.host for row in rows), rank=4, right=False),
        _column("State", (row.state for row in rows), right=False),
        _column("Run", (row.run_id or "-" for row in rows), right=False),
        _column("Cores", (f"{row.cores:,}" if row.cores else "-" for row in rows), rank=2),
        _column("Workers", (f"{row.workers:,}" for row in rows), rank=3),
        _column("Load", ("-" if r.load is None else f"{r.load:.2f}" for r in rows), rank=1),
        _column("Version", (f"{r.version} (LOADS/{r.protocol})" for r in rows), rank=6,
                right=False),
        _column("Since", (_moment(row.since) for row in rows), rank=5, right=False),
    ]  # fmt: skip


def health_columns(checked: Sequence[Health]) -> list[Column]:
    """Columns of agents that were checked; that of reasons only where there are some."""
    results = {True: "ok", False: "failed", None: "not checked"}
    styles = {"ok": "green", "failed": "red"}
    columns = [
        _column("Agent", (health.agent_id for health in checked), elastic=True, right=False),
        _column("Host", (health.host for health in checked), rank=1, right=False),
        _column("Result", (results[h.ok] for h in checked), lambda t: styles.get(t, ""),
                right=False),
        _column("Time", ("-" if h.seconds is None else f"{h.seconds:.2f} s" for h in checked)),
    ]  # fmt: skip
    if any(health.reason for health in checked):
        columns.append(_column("Reason", (health.reason for health in checked), right=False))
    return columns


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch).strftime("%Y-%m-%d %H:%M:%S") if epoch else "-"
