"""A run in the XML of FunkLoad's benches, which ``fl-build-report`` makes reports of.

Version 1 of Loads wrote this format.  What FunkLoad expects is taken from its reader: a result
counts as good where it is ``Successful``, a test's time is its ``connection_duration``, methods
are in lower case, and what differs in ``step`` and ``number`` is reported apart.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import ClassVar, TextIO

from loads.metrics.histogram import highest_of
from loads.metrics.series import (
    FIRST_STATUS,
    HIT,
    TEST,
    Series,
    SeriesKey,
    Verdict,
    is_error,
    outcome_name,
)
from loads.metrics.summary import RunView
from loads.outputs.base import OutputOption
from loads.outputs.stream import visible
from loads.outputs.trail import Trail, increase

VERSION = "1.17.0"  #: of the FunkLoad whose format this is
FILENAME = "funkload-report.xml"
_GOOD = "Successful"
_RESULTS: dict[int, str] = {
    Verdict.SUCCESS: _GOOD,
    Verdict.FAILURE: "Failure",
    Verdict.ERROR: "Error",
}
_DURATION_WIDTH = 18
#: the library's function for them brings a client of HTTP along, which takes as long as to start
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


class FunkloadOutput:
    """Writes an element for each test and each hit that was counted to ``filename``.

    ``-`` is standard output.  The numbers of elements are exact.  Their times are those of the
    update that brought them, and their durations exact to 0.8 %, as a run keeps no more of them.
    Which answer took how long is not kept either: the shortest times go to the lowest status.
    A skipped test has no element: FunkLoad knows no such thing.

    Raises :class:`UsageError` when it is built and the file cannot be written.
    """

    options: ClassVar[tuple[OutputOption, ...]] = (
        OutputOption("filename", FILENAME, "file for FunkLoad's XML; - is standard output"),
    )

    def __init__(self, filename: str = FILENAME, *, stdout: TextIO | None = None) -> None:
        self._trail = Trail(filename, "--output-funkload-filename", stdout=stdout)
        self._seen: dict[SeriesKey, Series] = {}
        self._numbers: dict[SeriesKey, int] = {}
        self._duration_at = 0
        self._open = False

    def start(self, view: RunView) -> None:
        self._trail.begin()
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        head = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<funkload version="{VERSION}" time="{now.isoformat()}">\n'
            '<config key="duration" value="'
        )
        self._duration_at = len(head)
        # How long a stage takes is often known at the end only: there is room to say so then.
        duration = f"{_stage_seconds(view, view.plan.total_seconds or 0.0):<{_DURATION_WIDTH}}"
        self._trail.write(f'{head}{duration}"/>\n{"".join(_config(view))}')
        self._open = True

    def update(self, view: RunView) -> None:
        """Write what is new.  Raises ``OSError`` when the file cannot be written."""
        for key, series in _by_kind(view):
            text = "".join(self._elements(view, key, series))
            if text:
                self._trail.write(text)

    def finish(self, view: RunView) -> None:
        """Write what is still new, and the end.  Raises ``OSError`` as :meth:`update` does."""
        self.update(view)
        if self._trail.seekable:
            duration = f"{_stage_seconds(view, view.duration):<{_DURATION_WIDTH}}"
            self._trail.write_over(duration, self._duration_at)
        self.close()

    def close(self) -> None:
        """End the document, also that of a run that could not be followed to its end."""
        if self._open:
            self._open = False
            self._trail.write("</funkload>\n")
        self._trail.close()

    def _elements(self, view: RunView, key: SeriesKey, series: Series) -> Iterator[str]:
        seen = self._seen.setdefault(key, Series())
        durations = increase(dict(sorted(series.latency.counts.items())), seen.latency.counts)
        outcomes = increase(dict(sorted(series.outcomes.items())), seen.outcomes)
        number = self._numbers.setdefault(key, 1 + len(self._numbers))
        where = _where(view)
        most = series.latency.high or 0
        for bucket, outcome, count in paired(durations, outcomes):
            seconds = f"{min(highest_of(bucket), most) / 1e6:.6f}"
            element = _test if key.kind == TEST else _response
            yield element(key, number, where, outcome, seconds) * count
        self._seen[key] = seen = Series()
        seen.merge(series)


def _by_kind(view: RunView) -> list[tuple[SeriesKey, Series]]:
    return [pair for kind in (TEST, HIT) for pair in sorted(view.tally.of_kind(kind).items())]


def paired(
    durations: Iterator[tuple[int, int]], outcomes: Iterator[tuple[int, int]]
) -> Iterator[tuple[int, int, int]]:
    """Gives each duration an outcome: ``(duration, outcome, how many)``, until one is used up."""
    duration, slow = next(durations, (0, 0))
    outcome, many = next(outcomes, (0, 0))
    while slow and many:
        count = min(slow, many)
        yield duration, outcome, count
        slow, many = slow - count, many - count
        if not slow:
            duration, slow = next(durations, (0, 0))
        if not many:
            outcome, many = next(outcomes, (0, 0))


def _stage_seconds(view: RunView, seconds: float) -> str:
    return f"{seconds / len(view.plan.users):.6f}"


def _config(view: RunView) -> Iterator[str]:
    plan = view.plan
    module, _, method = plan.target.rpartition(".")
    known = {
        "id": view.run_id,
        "class": plan.target,
        "module": module,
        "method": method,
        "class_title": plan.target,
        "class_description": plan.describe(),
        "description": plan.describe(),
        "cycles": str([number * max(1, plan.agents) for number in plan.users]),
        "cycle_time": "0",
        "server_url": plan.server_url or "",
        "python_version": platform.python_version(),
        "configuration_file": "",
        "log_xml": "",
        "sleep_time": "0",
        "sleep_time_min": "0",
        "sleep_time_max": "0",
        "startup_delay": "0",
    }
    for key, value in known.items():
        yield f'<config key="{key}" value={_attribute(value)}/>\n'


def _where(view: RunView) -> str:
    """The stage and its users, with the time: those of the stage that is nearest to the users now.

    How far a stage by hits has come is not told, but how many users are active is.
    """
    users = view.plan.users
    boxes = max(1, view.plan.agents)
    stage = min(range(len(users)), key=lambda number: abs(users[number] * boxes - view.users))
    place = f'cycle="{stage:03}" cvus="{users[stage] * boxes}" thread="000" suite="" name=""'
    return f'{place} time="{view.started + view.elapsed:.3f}"'


def _test(key: SeriesKey, number: int, where: str, outcome: int, seconds: str) -> str:
    if outcome == Verdict.SKIPPED:
        return ""
    result = _RESULTS.get(outcome, "Error")
    return (
        f'<testResult {where} result="{result}" steps="1" duration="{seconds}" '
        f'connection_duration="{seconds}" requests="0" pages="0" xmlrpc="0" redirects="0" '
        f'images="0" links="0"/>\n'
    )


def _response(key: SeriesKey, number: int, where: str, outcome: int, seconds: str) -> str:
    code = str(outcome) if outcome >= FIRST_STATUS else "-1"
    result = "Failure" if is_error(outcome) else _GOOD
    return (
        f'<response {where} step="{number:03}" number="001" type={_attribute(key.method.lower())} '
        f'result="{result}" url={_attribute(key.name)} code="{code}" '
        f'description="{outcome_name(outcome)}" duration="{seconds}"/>\n'
    )


def _attribute(text: str) -> str:
    """Quoted; what XML has no place for, such as control characters, is spelled out."""
    for char, entity in _ENTITIES.items():
        text = text.replace(char, entity)
    return f'"{visible(text)}"'
