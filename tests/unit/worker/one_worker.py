"""A worker's users without the process: real tests, users and recorder, and what was recorded."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loads.metrics.series import TEST, Verdict
from loads.metrics.tally import Tally
from loads.recorder.current import current, install
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader
from loads.recorder.writer import Recorder
from loads.worker.fixtures import fixtures
from loads.worker.loader import load
from loads.worker.users import User
from tests.unit.projects import lay

_numbers = itertools.count()


class Recording:
    """What some users recorded."""

    def __init__(self, tally: Tally, module: str) -> None:
        self.tally = tally
        self._prefix = f"{module}."
        self.failures: Counter[tuple[str, str, str]] = Counter()
        for failure, group in tally.failures.items():
            self.failures[failure[:3]] += group.count
        self.verdicts = {
            key.name.removeprefix(self._prefix): {
                Verdict(outcome).name.lower(): n for outcome, n in series.outcomes.items()
            }
            for key, series in tally.of_kind(TEST).items()
        }
        self.blamed = {
            failure.message: {test.removeprefix(self._prefix) for test in group.tests}
            for failure, group in tally.failures.items()
        }
        self.counters = tally.counters
        self.tracebacks = [failure.traceback for failure in tally.failures]
        self.started = tally.counts.get("tests_started", 0)
        self.cut = tally.counts.get("tests_cut", 0)
        assert self.started == self.cut + sum(tally.verdicts.values()), "counts are conserved"


@contextmanager
def recorder() -> Iterator[tuple[Recorder, RecorderReader]]:
    """The recorder of this process for a while, and what its supervisor reads it with."""
    memory = Memory.create()
    reader, before = RecorderReader(memory), current()
    writer = Recorder(memory)
    install(writer)
    try:
        yield writer, reader
    finally:
        install(before)
        reader.close()


def run(root: Path, code: str, rest: str = "", *, users: int = 1, times: int = 1) -> Recording:
    """Run a target of a new module below ``root``, which is on the path: each user, some times."""
    module = f"users_tests_{next(_numbers)}"
    lay(root, {f"{module}.py": code})
    with recorder() as (writer, reader):
        tests = load(f"{module}.{rest}" if rest else module, str(root))
        with fixtures(tests, str(root), writer) as usable:
            for number in range(users if usable else 0):
                user = User(number, usable, str(root), writer)
                for _ in range(times):
                    user.run_once()
                user.close()
        return Recording(reader.read(), module)
