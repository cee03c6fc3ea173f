"""Programs that a benchmark starts, on the core that is meant for them, and ends again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.machine import family, on_cores

POLL = 0.01  #: seconds


class BenchmarkError(Exception):
    """What was to be measured could not be; the others can."""


class Program:
    """A program with its output in a file; to be used in a ``with`` statement.

    Raises :class:`BenchmarkError` when it cannot be started.
    """

    def __init__(
        self,
        args: Sequence[object],
        log: Path,
        *,
        cores: Set[int] = frozenset(),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = Path(str(args[0])).name
        self._log = log
        with log.open("wb") as out, on_cores(cores):
            try:
                self._popen = subprocess.Popen(
                    [str(arg) for arg in args],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    cwd=cwd,
                    env={**_environment(), **(env or {})},
                    start_new_session=True,  # Ctrl-C is ours to handle
                )
            except OSError as error:
                raise BenchmarkError(f"{self.name} cannot be started: {error}") from error
        self.pid = self._popen.pid

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def code(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._popen.poll()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def ask_to_end(self) -> None:
        """As Ctrl-C does."""
        self._popen.send_signal(signal.SIGINT)

    def wait(self, seconds: float) -> None:
        """Wait for its end.  Raises :class:`BenchmarkError` unless that comes, with status 0."""
        if self.code is None:
            exit_of = os.pidfd_open(self.pid)  # Popen.wait() looks only now and then
            try:
                ended = select.select([exit_of], [], [], seconds)[0]
            finally:
                os.close(exit_of)
            if not ended:
                raise BenchmarkError(f"{self.name} did not end.{self._last_words()}")
        if self._popen.wait():
            raise self.failed()

    def failed(self) -> BenchmarkError:
        """The error that it ended too early."""
        return BenchmarkError(f"{self.name} ended with status {self.code}.{self._last_words()}")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        """Wait until something is so.  Raises :class:`BenchmarkError` when it never is."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.code is not None:
                raise self.failed()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"Waited in vain for {what}.{self._last_words()}")
            time.sleep(POLL)

    def kill(self) -> None:
        """End it and all that it has started."""
        if self._popen.poll() is None:
            _kill(family(self.pid))
            self._popen.wait()

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return f" It said: {lines[-1][:200]}" if lines else ""


def end_all() -> None:
    """End what an interrupt has left: all that we have started, and all that those have."""
    _kill(family(os.getpid())[1:])


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Ours, but the target is reached directly, and options of Loads are given in so many words."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("LOADS_")
    }
