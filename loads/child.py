"""A worker process as its supervisor sees it: started, spoken to, read, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from loads.events import Beat, Command, Job, LineReader, WorkerEvent, encode
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader
from loads.transport.arguments import VARIABLE


class Child:
    """One worker process, its pipes and its memory.

    ``ready``, ``done`` and ``group`` note what it said of itself: that the test is loaded, that
    everything is done, and which group of users it ended last; ``warnings`` are those that no delta
    has carried yet.  ``left_alone`` is for how many seconds it had not heard of us when it stopped
    its load for that.  ``gone`` means that its last delta was given.
    """

    def __init__(
        self,
        name: str,
        job: Callable[[int, int], Job],
        libraries: str = "",
        foreground: bool = False,
        last_words: bytes = b"",
    ) -> None:
        """``job`` makes the job from the descriptors for events and memory.

        ``libraries`` is a directory with what was installed for the test.  In the foreground, the
        process has the terminal: its user can be asked things, by a debugger for example.
        ``last_words`` is what it is to do when we are gone: see ``loads.agent.last_words``.
        """
        self.name = name
        self.memory = Memory.create()
        self.reader = RecorderReader(self.memory)
        self.sequence = 0
        self.users = 0
        self.ready = False
        self.done = False
        self.gone = False
        self.group = -1
        self.warnings: set[str] = set()
        self.left_alone = 0.0
        self._foreground = foreground
        self._lines = LineReader()
        self._unsent = b""
        self.events, events_in = os.pipe()
        commands_out, self._commands = os.pipe()
        os.set_blocking(self.events, False)
        os.set_blocking(self._commands, False)  # a worker may be stopped, and read nothing
        made = job(events_in, self.memory.fd)
        handed = [commands_out, events_in]
        if last_words and hasattr(os, "memfd_create"):
            handed.append(_written(last_words))
            made = replace(made, last_words=handed[-1])
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own worker
                [sys.executable, "-m", "loads.worker", str(commands_out)],
                stdin=None if foreground else subprocess.DEVNULL,
                stdout=None if foreground else sys.stderr.fileno(),  # ours is for results
                pass_fds=(*handed, self.memory.fd),
                cwd=made.plan.test_dir or made.root,
                env={**_environment(made, libraries), **made.plan.env},
                start_new_session=not foreground,  # Ctrl-C is the supervisor's to handle
            )
        finally:
            for fd in handed:
                os.close(fd)
        self.tell(made)

    def tell(self, command: Command) -> None:
        """Send a command, at once or when there is room for it: see :meth:`flush`."""
        self._unsent += encode(command)
        self.flush()

    def flush(self) -> None:
        """Send what there was no room for."""
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._commands, self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it is dead, which will be noticed
            self._unsent = b""

    def beat(self) -> None:
        """Say that we are there.  Where that finds no room, enough of it waits to be read."""
        if not self._unsent:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._commands, encode(Beat()))  # a pipe takes all of so little, or none

    def heard(self) -> list[WorkerEvent]:
        """What it said since the last time."""
        events: list[WorkerEvent] = []
        while True:
            try:
                data = os.read(self.events, 1 << 16)
            except BlockingIOError:
                return events
            if not data:
                return events
            events.extend(self._lines.feed(data))

    @property
    def exited(self) -> bool:
        """Whether the process has ended.  It stays a zombie, so that its group's id stays ours."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, how) is not None

    def kill(self) -> None:
        """End the process and whatever the test started in its process group."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if self._foreground:
                    os.kill(self.process.pid, signal.SIGKILL)  # its group is our own
                else:
                    os.killpg(self.process.pid, signal.SIGKILL)

    def wait(self) -> str:
        """Reap a process that has exited; say how it did."""
        return _describe_exit(self.process.wait())

    def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        self.process.wait()
        os.close(self._commands)
        os.close(self.events)
        self.reader.close()


def _written(text: bytes) -> int:
    """The descriptor of a file without a name, which holds ``text``."""
    fd = os.memfd_create("loads-last-words")
    os.write(fd, text)
    return fd


def _environment(job: Job, libraries: str) -> Mapping[str, str]:
    """Our environment, with our own package importable from whatever directory a worker is in."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [path for path in (ours, libraries, *inherited) if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    environment.pop(VARIABLE, None)  # whoever uses us as a library may have left it there
    if not job.plan.patching:
        environment["LOADS_NO_PATCHING"] = "1"  # asked for before the job can be read
    return environment


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
