"""A run as lines of JSON, written while it goes on."""

from __future__ import annotations

import json
from typing import Any, ClassVar, TextIO

from loads.metrics.failures import Failure
from loads.metrics.series import HIT, TEST, Verdict, is_error, outcome_name
from loads.metrics.summary import RunView, summarise
from loads.outputs.base import OutputOption
from loads.outputs.trail import Trail, increase

FILENAME = "loads.jsonl"


class FileOutput:
    """Appends one JSON object a line to ``filename``; ``-`` is standard output.

    Each has an ``event`` and the ``run_id``.  ``plan`` comes first, ``update`` tells what came
    since the one before, ``failure`` a kind of failure when it happens for the first time, and
    ``summary``, the last, is that of ``--output json``.  Version 1 meant to write a line for each
    result; a run here has them added up where they arise, so that a line is for all since the last.

    Raises :class:`UsageError` when it is built and the file cannot be written.
    """

    options: ClassVar[tuple[OutputOption, ...]] = (
        OutputOption("filename", FILENAME, "file for a line of JSON with each update; - is stdout"),
    )

    def __init__(self, filename: str = FILENAME, *, stdout: TextIO | None = None) -> None:
        self._trail = Trail(filename, "--output-file-filename", append=True, stdout=stdout)
        self._hits: dict[int, int] = {}
        self._tests: dict[int, int] = {}
        self._counters: dict[str, int] = {}
        self._failures: set[Failure] = set()

    def start(self, view: RunView) -> None:
        self._trail.begin()
        self._write(view, "plan", {"plan": view.plan.pack()})

    def update(self, view: RunView) -> None:
        """Write what is new.  Raises ``OSError`` when the file cannot be written."""
        self._since(view)
        for failure, group in view.tally.failures.items():
            if failure not in self._failures:
                self._failures.add(failure)
                told = failure._asdict() | {"tests": sorted(group.tests)}
                self._write(view, "failure", told | {"first_seen": view.started + group.first})

    def finish(self, view: RunView) -> None:
        """Write what is still new, and the summary.  Raises ``OSError`` as :meth:`update` does."""
        self.update(view)
        self._write(view, "summary", summarise(view))
        self.close()

    def close(self) -> None:
        self._trail.close()

    def _since(self, view: RunView) -> None:
        hits, tests = view.tally.outcomes(HIT), view.tally.outcomes(TEST)
        new_hits = dict(increase(hits, self._hits))
        new_tests = dict(increase(tests, self._tests))
        counters = dict(increase(view.tally.counters, self._counters))
        self._hits, self._tests = hits, tests
        self._counters = dict(view.tally.counters)
        what = {
            "state": view.state,
            "elapsed": round(view.elapsed, 6),
            "users": view.users,
            "tests": {v.name.lower(): new_tests[v] for v in Verdict if v in new_tests},
            "hits": sum(new_hits.values()),
            "hit_errors": sum(n for outcome, n in new_hits.items() if is_error(outcome)),
            "status": {outcome_name(o): n for o, n in sorted(new_hits.items())},
            "counters": dict(sorted(counters.items())),
        }
        self._write(view, "update", what)

    def _write(self, view: RunView, event: str, what: dict[str, Any]) -> None:
        line = {"event": event, "run_id": view.run_id} | what
        self._trail.write(json.dumps(line, separators=(",", ":")) + "\n")
