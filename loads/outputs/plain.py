"""A run told line by line, for files, pipes and the logs of build servers."""

from __future__ import annotations

from datetime import tzinfo

from loads.metrics.series import HIT, TEST, Verdict
from loads.metrics.summary import RunView
from loads.outputs import figures
from loads.outputs.report import report
from loads.outputs.stream import Stream, visible

INTERVAL = 5  # seconds of the run between two lines


class PlainConsole:
    """The plan, a line every five seconds of the run, the report.  Each is flushed at once.

    Raises ``OSError`` when the stream cannot be written.
    """

    def __init__(self, stream: Stream, zone: tzinfo | None = None) -> None:
        self._stream = stream
        self._zone = zone
        self._due = INTERVAL

    def start(self, view: RunView) -> None:
        self._say(visible(view.plan.describe()))

    def update(self, view: RunView) -> None:
        if view.elapsed >= self._due:
            self._due = (int(view.elapsed) // INTERVAL + 1) * INTERVAL
            self._say(progress_line(view))

    def finish(self, view: RunView) -> None:
        lines = report(view, encoding=self._stream.encoding, zone=self._zone)
        self._say("\n".join(["", *lines]))

    def message(self, text: str) -> None:
        self._say(visible(text))

    def close(self) -> None:
        pass

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def progress_line(view: RunView) -> str:
    """A run at one moment, in one line."""
    hits, verdicts = view.tally.total(HIT), view.tally.verdicts
    tests = figures.counted(view.tally.total(TEST).count, "test")
    bad = [
        figures.counted(verdicts[verdict], word)
        for verdict, word in ((Verdict.FAILURE, "failure"), (Verdict.ERROR, "error"))
        if verdicts[verdict]
    ]
    rate = view.tally.timeline.hits_per_second(view.elapsed)
    p50, p95, p99 = map(figures.latency, hits.latency.percentiles((50, 95, 99)))
    parts = [
        f"{int(view.elapsed):>4,} s",
        *([f"{figures.percent(view.progress):>5}"] if view.progress is not None else []),
        figures.counted(view.users, "user"),
        f"{tests} ({', '.join(bad)})" if bad else tests,
        figures.counted(hits.count, "hit"),
        f"{figures.rate(rate)} hits/s",
        f"p50 {p50}",
        f"p95 {p95}",
        f"p99 {p99}",
        figures.counted(hits.errors, "hit error"),
    ]
    return "  ".join(parts)
