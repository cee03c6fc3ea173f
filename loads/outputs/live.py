"""A run drawn in place on a terminal.

The picture is a pure function of a view and a size.  It is made of whole lines that fit, because
a line that the terminal wraps makes the next picture start in the wrong row.  It is never drawn
on the alternate screen: what was above it stays, and the report takes its place.

This module imports rich, and is itself imported only when there is a terminal to draw on.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from datetime import tzinfo
from typing import IO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from loads.clock import Clock, SystemClock
from loads.errors import ExitCode
from loads.metrics.series import HIT, TEST, Verdict
from loads.metrics.summary import AgentView, RunView
from loads.outputs import figures
from loads.outputs.layout import GAP, Cell, flow, table, width_of
from loads.outputs.report import report
from loads.outputs.stream import Stream, visible
from loads.outputs.tables import agent_columns, by_hits, is_lost, series_columns, shows_agents

INTERVAL = 0.25  # seconds between two pictures
JITTER = 0.05  # seconds that an update may come early and still be drawn
MAX_URLS = 15
MAX_AGENTS = 10

Lines = list[list[Cell]]


class LiveConsole:
    """The plan, a picture that is redrawn at most four times a second, the report.

    ``console`` is where it draws; its own one on ``stream`` if not given.
    """

    def __init__(
        self,
        stream: Stream,
        clock: Clock | None = None,
        console: Console | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        self._console = console or Terminal(
            file=cast(IO[str], stream), force_terminal=True, legacy_windows=False
        )
        self._encoding = stream.encoding
        self._clock = clock or SystemClock()
        self._zone = zone
        self._live: Live | None = None
        self._due = 0.0

    def start(self, view: RunView) -> None:
        self._say(Text(visible(view.plan.describe(), self._encoding)))
        self._live = Live(
            self._picture(view),
            console=self._console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=False,
            # Where standard error is a terminal too, what is logged there goes above the picture.
            redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
        )
        self._live.start(refresh=True)
        self._due = self._clock.monotonic() + INTERVAL

    def update(self, view: RunView) -> None:
        now = self._clock.monotonic()
        if self._live is None or now < self._due - JITTER:
            return
        self._due = max(self._due, now) + INTERVAL
        self._live.update(self._picture(view), refresh=True)

    def finish(self, view: RunView) -> None:
        if self._live is not None:
            self._live.transient = True  # the report says all that the picture did
        self.close()
        *lines, last = report(view, self._console.width, self._encoding, self._zone)
        good = view.exit_code == ExitCode.OK
        self._say(Text("\n".join(["", *lines])))
        self._say(Text(last, style="bold green" if good else "bold red"))

    def message(self, text: str) -> None:
        self._say(Text(visible(text, self._encoding)))

    def close(self) -> None:
        """Leave the picture as it is, and give the terminal its cursor back."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _say(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _picture(self, view: RunView) -> Group:
        size = self._console.size
        return Group(*picture(view, size.width, size.height, self._encoding))


class Terminal(Console):
    """A console that reports a terminal that has gone; rich would end the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def picture(view: RunView, width: int, height: int, encoding: str = "utf-8") -> list[Text]:
    """The lines of a run at one moment: fewer than ``height``, none wider than ``width``."""
    lines = [_bar(view, width, encoding)]
    lines += flow(_tests(view), width)
    lines += flow(_hits(view), width)
    if view.warnings:
        lines.append([Cell(f"Warning: {visible(view.warnings[-1], encoding)}", "yellow")])
    # One row is left free: a terminal whose last row is written to scrolls, and that flickers.
    room = height - 1 - len(lines)
    agents = _agents(view, width, room // 2, encoding)
    urls = _urls(view, width, room - len(agents), encoding)
    return [_drawn(line, width) for line in (lines + urls + agents)[: max(1, height - 1)]]


def _drawn(line: Sequence[Cell], width: int) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for number, cell in enumerate(line):
        text.append(GAP if number else "").append(cell.text, cell.style or None)
    text.truncate(width, overflow="crop")
    return text


def _bar(view: RunView, width: int, encoding: str) -> list[Cell]:
    state = Cell(visible(view.state, encoding), "bold")
    times = [Cell(figures.clock(view.elapsed))]
    if view.plan.total_seconds is not None and view.state != "preparing":
        left = max(0.0, view.plan.total_seconds - view.elapsed)
        times.append(Cell(f"{figures.clock(left)} left"))
    if view.progress is None:
        return [state, *times]
    share = Cell(f"{figures.percent(view.progress):>5}")
    ends = [state, share, *times]
    room = width - sum(width_of(cell.text) + len(GAP) for cell in ends)
    if room < 5:
        return ends
    done, rest = _glyphs(encoding)
    full = int(room * view.progress)
    return [state, Cell(done * full + rest * (room - full), "cyan"), share, *times]


def _glyphs(encoding: str) -> tuple[str, str]:
    """What a bar is made of: done, and to do."""
    blocks = ("\N{BOX DRAWINGS HEAVY HORIZONTAL}", "\N{BOX DRAWINGS LIGHT HORIZONTAL}")
    try:
        "".join(blocks).encode(encoding)
    except UnicodeEncodeError:
        return "#", "-"
    return blocks


def _tests(view: RunView) -> list[Cell]:
    verdicts = view.tally.verdicts
    words = (
        (Verdict.SUCCESS, "success", "success", "green"),
        (Verdict.FAILURE, "failure", "failures", "red"),
        (Verdict.ERROR, "error", "errors", "red"),
        (Verdict.SKIPPED, "skipped", "skipped", "yellow"),
    )
    return [
        Cell(figures.counted(view.users, "user")),
        Cell(figures.counted(view.tally.total(TEST).count, "test")),
        *(
            Cell(figures.counted(verdicts[verdict], one, many), style if verdicts[verdict] else "")
            for verdict, one, many, style in words
        ),
    ]


def _hits(view: RunView) -> list[Cell]:
    hits = view.tally.total(HIT)
    rate = view.tally.timeline.hits_per_second(view.elapsed)
    p50, p95, p99 = map(figures.latency, hits.latency.percentiles((50, 95, 99)))
    return [
        Cell(figures.counted(hits.count, "hit")),
        Cell(f"{figures.rate(rate)} hits/s"),
        Cell(f"p50 {p50}"),
        Cell(f"p95 {p95}"),
        Cell(f"p99 {p99}"),
        Cell(figures.counted(hits.errors, "hit error"), "red" if hits.errors else ""),
    ]


def _urls(view: RunView, width: int, room: int, encoding: str) -> Lines:
    lines = by_hits([(k, s) for k, s in view.tally.of_kind(HIT).items() if s.count])
    shown, rest = _fitting(len(lines), room, MAX_URLS)
    if not shown:
        return []
    columns = series_columns(lines[:shown], view.elapsed, encoding)
    return [[], *table(columns, width), *_more(rest)]


def _agents(view: RunView, width: int, room: int, encoding: str) -> Lines:
    if not shows_agents(view):
        return []
    shown, rest = _fitting(len(view.agents), room, MAX_AGENTS)
    if not shown:
        return []
    lost_first: list[AgentView] = sorted(view.agents, key=lambda agent: not is_lost(agent))
    return [[], *table(agent_columns(lost_first[:shown], encoding), width), *_more(rest)]


def _fitting(count: int, room: int, most: int) -> tuple[int, int]:
    """How many of ``count`` rows to show, and how many not.

    ``room`` is for an empty line, the titles, the rows, and a line about those not shown.
    """
    rows = min(room - 2, most)
    if count > rows:
        rows = min(room - 3, most)
    rows = max(0, min(rows, count))
    return rows, count - rows


def _more(rest: int) -> Lines:
    return [[Cell(f"... and {rest:,} more", "dim")]] if rest else []
