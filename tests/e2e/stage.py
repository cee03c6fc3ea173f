"""Real processes for one test, and the proof that nothing of them is left afterwards.

All that a stage starts carries its marker in the environment, and so does all that is started by
those: this is how workers without an agent are found.  Temporary files and sockets go to
directories of the stage's own, which must be empty in the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.waiting import PATIENCE, until

MARKER = "LOADS_TEST_ID"
COMMANDS = Path(sys.executable).parent


class Process:
    """A process with its output in files."""

    def __init__(
        self, name: str, args: Sequence[str], cwd: Path, env: Mapping[str, str], logs: Path
    ) -> None:
        self.name = name
        self.args = [str(arg) for arg in args]
        self._out, self._err = logs / f"{name}.out", logs / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._popen = subprocess.Popen(
                self.args,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    @property
    def out(self) -> str:
        """What it printed so far."""
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it logged and complained about so far."""
        return self._err.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._popen.poll()

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; gives the exit status."""
        until(lambda: self.code is not None, f"the end of {self.name}", seconds)
        assert self.code is not None
        return self.code

    def says(self, words: str, times: int = 1, seconds: float = PATIENCE) -> str:
        """Wait for a line, on either stream, that holds ``words``; gives the last one."""

        def lines() -> list[str]:
            return [line for line in (self.out + self.err).splitlines() if words in line]

        def said() -> bool:
            if len(lines()) < times and self.code is not None and len(lines()) < times:
                pytest.fail(f"{self.name} ended with {self.code} and never said {words!r}")
            return len(lines()) >= times

        until(said, f"{self.name} to say {words!r}", seconds)
        return lines()[-1]

    def signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        self._popen.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to its process group, as a terminal does."""
        os.killpg(self.pid, number)

    def terminate(self) -> int:
        """Ask it to end, wait for that; gives the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers that it has started."""
        return [pid for pid in _pids() if _parent(pid) == self.pid and _is_worker(pid)]


#: Of pytest's own environment: with the first, output that is never flushed would go unnoticed; the
#: others, which pytest-xdist's workers have, are the size of no terminal of ours.
_NOT_OURS = {"PYTHONUNBUFFERED", "COLUMNS", "LINES"}


class Stage:
    """The processes of one test, their directories, and the end of all of it."""

    def __init__(self) -> None:
        # the path of a Unix socket has 107 bytes, and those of pytest's own directories are long
        self.root = Path(tempfile.mkdtemp(prefix="l-", dir="/tmp"))
        self.project = self._folder("project")
        self.logs_at = self._folder("logs")
        self.tmp = self._folder("tmp")
        self.runtime = self.root / "run"
        self.home = self.root / "home"
        self.marker = uuid.uuid4().hex
        self.processes: list[Process] = []
        self._kept_logs: list[tuple[str, str]] | None = None

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir()
        return folder

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all its processes."""
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("LOADS_") and name not in _NOT_OURS
        }
        return {
            **outside,
            MARKER: self.marker,
            "LOADS_RUNTIME_DIR": str(self.runtime),
            "TMPDIR": str(self.tmp),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "LOADS_HOME": str(self.home),
        }

    def write(self, name: str, text: str) -> Path:
        """Write a file of the user's project."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    @staticmethod
    def command(program: str, *args: object) -> list[str]:
        """A command line; Python and our own commands are known by their names."""
        if program == "python" or program.startswith("loads-"):
            program = str(COMMANDS / program)
        return [program, *map(str, args)]

    def start(
        self,
        name: str,
        *args: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a process; see :meth:`command`."""
        number = sum(process.name.startswith(f"{name}-") for process in self.processes) + 1
        process = Process(
            f"{name}-{number}",
            self.command(*map(str, args)),
            cwd or self.project,
            {**self.environment, **(env or {})},
            self.logs_at,
        )
        self.processes.append(process)
        return process

    def logs(self) -> list[tuple[str, str]]:
        """What the processes printed that run or came last, for the report of a failure."""
        if self._kept_logs is not None:
            return self._kept_logs
        ended = [process for process in self.processes if process.code is not None]
        return [
            (f"{process.name} ({process.code}): {what}", text)
            for process in self.processes
            if process not in ended[:-3]
            for what, text in (("stdout", process.out), ("stderr", process.err))
        ]

    def survivors(self) -> dict[int, str]:
        """The live processes that carry the marker: their ids and command lines."""
        return {pid: _command(pid) for pid in _pids() if _has(pid, f"{MARKER}={self.marker}")}

    def end(self) -> None:
        """Ask what still runs to end, last come first; then nothing may be left.

        Fails the test when a daemon does not end with status 0, when a process survives it, or
        when something is left in its directories.
        """
        for process in reversed(self.processes):
            if process.code is None:
                code = process.terminate()
                assert code == 0, f"{process.name} ended with {code} when it was asked to end"
        until(lambda: not self.survivors(), f"the end of {self.survivors()}", 15)
        for folder in (self.tmp, self.runtime):
            left = sorted(str(path.relative_to(self.root)) for path in folder.rglob("*"))
            assert not left, f"left behind: {', '.join(left)}"

    def clear(self) -> None:
        """End by force whatever is left, and remove all directories."""
        self._kept_logs = self.logs()
        for pid in self.survivors():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.root)


def _pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def _read(pid: int, name: str) -> bytes:
    """A file of a process; empty for one that has just gone, or is another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _has(pid: int, assignment: str) -> bool:
    return assignment.encode() in _read(pid, "environ").split(b"\0")


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def _is_worker(pid: int) -> bool:
    return "-m loads.worker" in _command(pid)


def _parent(pid: int) -> int:
    # the name of the program, in parentheses, may hold anything
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0
