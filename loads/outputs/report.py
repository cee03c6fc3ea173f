"""What is said when a run is over, as lines of text: v1's figures first, then the reasons.

All of it is a pure function of the run's last view, so that it reads the same on a terminal, in
a file and in a test.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo

from loads.errors import ExitCode
from loads.ledger import LOST
from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.histogram import Histogram
from loads.metrics.series import (
    FIRST_STATUS,
    HIT,
    OTHER,
    TEST,
    TIMING,
    WS_CONNECT,
    WS_ROUND_TRIP,
    Series,
    Verdict,
    is_error,
    outcome_name,
)
from loads.metrics.summary import AgentView, RunView, websockets
from loads.outputs import figures
from loads.outputs.layout import Cell, flow, joined, table, width_of
from loads.outputs.stream import visible
from loads.outputs.tables import (
    agent_columns,
    by_mean,
    is_lost,
    series_columns,
    shows_agents,
)

MAX_FAILURES = 10
MAX_URLS = 10
INDENT = "  "


def report(
    view: RunView, width: int | None = None, encoding: str = "utf-8", zone: tzinfo | None = None
) -> list[str]:
    """The closing report, line by line; the last line is the verdict.

    ``width`` is that of a terminal, which tables and lists of figures are made to fit; None is
    a file, where URLs are given in full.  ``zone`` is for the time of the start, the machine's
    own if not given.
    """
    sections = (
        _figures(view, zone),
        _verdicts(view),
        _latencies(view, width),
        _websockets(view, width),
        _failures(view, encoding),
        _urls(view, width, encoding),
        _counters(view, encoding),
        _timings(view, width, encoding),
        _agents(view, width, encoding),
        _warnings(view, width, encoding),
        _reason(view, width, encoding),
        [f"Result: {verdict(view)}"],
    )
    lines: list[str] = []
    for section in sections:
        found = list(section)
        lines += ["", *found] if lines and found else found
    return lines


def _figures(view: RunView, zone: tzinfo | None) -> Iterator[str]:
    hits, counts = view.tally.total(HIT), view.tally.counts
    rate = hits.count / view.duration if view.duration > 0 else 0.0
    yield f"Duration: {view.duration:,.2f} seconds"
    yield f"Hits: {hits.count:,}"
    yield f"Started: {_moment(view.started, zone)}"
    yield f"Approximate Average RPS: {figures.rate(rate)}"
    yield f"Average request time: {figures.latency(hits.latency.mean)}"
    yield f"Opened web sockets: {counts.get('ws_opened', 0):,}"
    yield f"Bytes received via web sockets: {counts.get('ws_bytes_received', 0):,}"


def _moment(epoch: float, zone: tzinfo | None) -> str:
    if not epoch:
        return "-"
    return datetime.fromtimestamp(epoch, zone).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _verdicts(view: RunView) -> Iterator[str]:
    verdicts = view.tally.verdicts
    yield f"Success: {verdicts[Verdict.SUCCESS]:,}"
    yield f"Errors: {verdicts[Verdict.ERROR]:,}"
    yield f"Failures: {verdicts[Verdict.FAILURE]:,}"
    rare = {
        "Skipped": verdicts[Verdict.SKIPPED],
        "Cut": view.tally.counts.get("tests_cut", 0),
        "Hit errors": view.tally.total(HIT).errors,
    }
    for name, number in rare.items():
        if number:
            yield f"{name}: {number:,}"


def _latencies(view: RunView, width: int | None) -> Iterator[str]:
    for title, kind in (("Request times", HIT), ("Test times", TEST)):
        latency = view.tally.total(kind).latency
        if latency.count:
            yield from _hanging(f"{title}:", percentiles(latency), width)


def _websockets(view: RunView, width: int | None) -> Iterator[str]:
    """What there is to say of web sockets, where any was tried."""
    counts, connects = view.tally.counts, websockets(view.tally, WS_CONNECT)
    opened = counts.get("ws_opened", 0)
    if not opened and not connects.count:
        return
    failed = [Cell(f"{connects.errors:,} failed")] if connects.errors else []
    sockets = [Cell(f"{opened:,} opened"), Cell(f"{counts.get('ws_closed', 0):,} closed"), *failed]
    yield from _hanging("Web sockets:", sockets, width)
    for title, way in (("Sent", "sent"), ("Received", "received")):
        messages = figures.counted(counts.get(f"ws_messages_{way}", 0), "message")
        size = figures.counted(counts.get(f"ws_bytes_{way}", 0), "byte")
        yield f"{title}: {messages}, {size}"
    for title, method in (("Connect times", WS_CONNECT), ("Round trips", WS_ROUND_TRIP)):
        latency = websockets(view.tally, method).latency
        if latency.count:
            yield from _hanging(f"{title}:", percentiles(latency), width)


def percentiles(latency: Histogram) -> list[Cell]:
    """The figures that tell a distribution: ``p50 0.41 ms`` to ``max 12.3 ms``."""
    named = ("p50", "p90", "p95", "p99", "p99.9")
    found = latency.percentiles((50, 90, 95, 99, 99.9))
    pairs = [*zip(named, found, strict=True), ("max", latency.high)]
    return [Cell(f"{name} {figures.latency(value)}") for name, value in pairs]


def _hanging(title: str, cells: list[Cell], width: int | None) -> list[str]:
    """A title and what it is of, in one line if that fits, else below it."""
    line = f"{title} {joined(cells)}"
    if width is None or width_of(line) <= width:
        return [line]
    return [title, *(joined(row, INDENT) for row in flow(cells, width - len(INDENT)))]


def _failures(view: RunView, encoding: str) -> Iterator[str]:
    ranked = sorted(view.tally.failures.items(), key=lambda item: (-item[1].count, item[0]))
    if ranked:
        yield "Errors and failures:"
    for failure, group in ranked[:MAX_FAILURES]:
        yield ""
        yield from _failure(failure, group, encoding)
    if len(ranked) > MAX_FAILURES:
        others = ranked[MAX_FAILURES:]
        times = sum(group.count for _, group in others)
        yield ""
        yield f"{INDENT}... and {len(others):,} more kinds, {figures.counted(times, 'time')} in all"


def _failure(failure: Failure, group: FailureGroup, encoding: str) -> Iterator[str]:
    first, *rest = failure.message.splitlines() or [""]
    what = f"{failure.type}: {first}" if first else failure.type
    yield f"{INDENT}{figures.counted(group.count, 'time')}: {visible(what, encoding)}"
    for line in rest:
        yield f"{INDENT * 2}{visible(line, encoding)}".rstrip()
    for test in sorted(group.tests):
        yield f"{INDENT * 2}in {visible(test, encoding)}"
    if group.count == 1:
        yield f"{INDENT * 2}at {group.first:,.1f} s"
    else:
        yield f"{INDENT * 2}first at {group.first:,.1f} s, last at {group.last:,.1f} s"
    for line in failure.traceback.splitlines():
        yield f"{INDENT * 2}{visible(line, encoding)}".rstrip()


def _urls(view: RunView, width: int | None, encoding: str) -> Iterator[str]:
    ranked = by_mean([(k, s) for k, s in view.tally.of_kind(HIT).items() if s.count])
    shown = ranked[:MAX_URLS]
    if not shown:
        return
    of = f", {len(shown)} of {len(ranked):,}" if len(ranked) > len(shown) else ""
    yield f"Slowest URLs{of}:"
    columns = series_columns(shown, None, encoding, full_names=width is None)
    rest = None if width is None else width - len(INDENT)
    titles, *rows = table(columns, rest)
    yield joined(titles, INDENT)
    for (_, series), row in zip(shown, rows, strict=True):
        yield joined(row, INDENT)
        if series.errors:
            deeper = INDENT * 3
            less = None if width is None else width - len(deeper)
            yield from (joined(line, deeper) for line in flow(_outcomes(series), less))
    if any(key.name == OTHER for key in view.tally.of_kind(HIT)):
        yield from _wrapped(
            f"{INDENT}There were too many URLs; {OTHER} stands for the rest.", width
        )


def _outcomes(series: Series) -> list[Cell]:
    return [
        Cell(f"{number:,} {'answered ' * (outcome >= FIRST_STATUS)}{outcome_name(outcome)}")
        for outcome, number in sorted(series.outcomes.items())
        if is_error(outcome) and number
    ]


def _counters(view: RunView, encoding: str) -> Iterator[str]:
    counters = sorted((visible(n, encoding), f"{v:,}") for n, v in view.tally.counters.items())
    if not counters:
        return
    yield "Custom metrics:"
    names = max(width_of(name) for name, _ in counters)
    numbers = max(len(number) for _, number in counters)
    for name, number in counters:
        yield f"{INDENT}{name}{' ' * (names - width_of(name))}  {number:>{numbers}}"


def _timings(view: RunView, width: int | None, encoding: str) -> Iterator[str]:
    timings = sorted(view.tally.of_kind(TIMING).items())
    if timings:
        yield "Custom timings:"
    for key, series in timings:
        title = f"{INDENT}{visible(key.name, encoding)} ({figures.counted(series.count, 'time')}):"
        yield from _hanging(title, percentiles(series.latency), width)


def _agents(view: RunView, width: int | None, encoding: str) -> Iterator[str]:
    if not shows_agents(view):
        return
    yield "Agents:"
    rest = None if width is None else width - len(INDENT)
    for row in table(agent_columns(view.agents, encoding), rest):
        yield joined(row, INDENT)
    for agent in view.agents:
        if is_lost(agent):
            yield from _wrapped(f"Lost: {_loss(agent, encoding)}", width)


def _loss(agent: AgentView, encoding: str) -> str:
    # A lost box takes all of its workers with it; a box that ended otherwise lost some of them.
    who = f"agent {visible(agent.agent_id, encoding)} on {visible(agent.host, encoding)}"
    lost = who if agent.state == LOST else f"workers of {who}"
    known = f"{lost}. Counted: {figures.counted(agent.hits, 'hit')}"
    if agent.unknown is None:
        return f"{known}; how many more there were is not known."
    if agent.unknown:
        return f"{known}; not counted: up to {agent.unknown:,} more."
    return f"{known}, which is all that it made."


def _warnings(view: RunView, width: int | None, encoding: str) -> Iterator[str]:
    for warning in view.warnings:
        yield from _wrapped(f"Warning: {visible(warning, encoding)}", width)


def _reason(view: RunView, width: int | None, encoding: str) -> Iterator[str]:
    if view.error:
        yield from _wrapped(f"Error: {visible(view.error, encoding)}", width)
    for line in view.hint.splitlines():
        yield from _wrapped(visible(line, encoding), width)


def _wrapped(text: str, width: int | None) -> list[str]:
    if width is None or width < 20:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=INDENT, break_on_hyphens=False)


def verdict(view: RunView) -> str:
    """How a run ended, in words: ``passed``, ``failed (12 failures, 3 errors)``, ..."""
    if view.state != "ended":
        return f"not known yet, the run is {view.state}"
    verdicts = view.tally.verdicts
    bad = [
        figures.counted(number, word)
        for word, number in (
            ("failure", verdicts[Verdict.FAILURE]),
            ("error", verdicts[Verdict.ERROR]),
        )
        if number
    ]
    more = f" ({', '.join(bad)})" if bad else ""
    if view.exit_code == ExitCode.OK:
        return "passed"
    if view.status == "incomplete":
        return f"{_incomplete(view)}{more}"
    if view.status == "failed":
        return f"failed: the run could not be carried out{more}"
    return f"{_ENDINGS.get(view.exit_code, _failed)(view)}{more}"


def _incomplete(view: RunView) -> str:
    if view.error_code:
        return "incomplete: the run was not followed to its end"
    bounds = [agent.unknown for agent in view.agents if is_lost(agent)]
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        return "incomplete: an unknown number of hits could not be counted"
    if sum(known):
        return f"incomplete: up to {figures.counted(sum(known), 'hit')} could not be counted"
    return "incomplete: agents or workers were lost"


def _stopped(view: RunView) -> str:
    progress = view.progress
    return "stopped" if progress is None else f"stopped at {figures.percent(progress)}"


def _failed(view: RunView) -> str:
    return "failed" if any(view.tally.verdicts.values()) else "failed: no test was run to its end"


_ENDINGS: dict[ExitCode, Callable[[RunView], str]] = {
    ExitCode.INTERRUPTED: _stopped,
    ExitCode.INCOMPLETE: _incomplete,
    ExitCode.THRESHOLD: lambda view: "failed: a threshold was broken",
    ExitCode.GENERATOR: lambda view: "failed: the load generator was the bottleneck",
}
