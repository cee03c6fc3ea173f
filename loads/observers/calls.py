"""Calls observers, each in a short-lived process of its own.

A process can be ended when it takes too long, may crash, leak or change what it likes, and keeps
nobody waiting.  What it is to do is in a file without a name, which it reads as its standard input:
options may be secrets, and arguments can be read by everybody on the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from loads.clock import Clock
from loads.metrics.summary import RunView
from loads.protocol import codec
from loads.protocol.messages import RunSnapshot, Wish

PATIENCE = 60.0  #: seconds after which an observer is given up
_POLL = 0.05  #: seconds
_MOST_WORDS = 500  #: characters of what an observer complained of


@dataclass(frozen=True)
class Call:
    """One observer's call that is over; ``problem`` is empty if it went well."""

    run_id: str
    observer: str
    problem: str = ""


@dataclass
class _Open:
    run_id: str
    observer: str
    process: subprocess.Popen[bytes]
    said: BinaryIO
    deadline: float


class Calls:
    """The calls that are under way."""

    def __init__(self, clock: Clock, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._open: list[_Open] = []
        self._failed: list[Call] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing is under way."""
        return not self._open and not self._failed

    def start(self, wish: Wish, view: RunView) -> None:
        """Tell an observer of a run's end."""
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the call is over
        try:
            with tempfile.TemporaryFile() as job:
                job.write(pack_job(wish, view))
                job.seek(0)
                process = subprocess.Popen(
                    [sys.executable, "-m", "loads.observers"],
                    stdin=job,
                    stdout=said,
                    stderr=said,
                    cwd="/",
                    env=_environment(),
                    start_new_session=True,
                )
        except OSError as error:
            said.close()
            self._failed.append(Call(view.run_id, wish.name, f"no process: {error}"))
            return
        deadline = self._clock.monotonic() + self._patience
        self._open.append(_Open(view.run_id, wish.name, process, said, deadline))

    def poll(self) -> list[Call]:
        """The calls that are over since the last time."""
        over, self._failed = self._failed, []
        for call in tuple(self._open):
            status = call.process.poll()
            late = status is None and self._clock.monotonic() >= call.deadline
            if status is None and not late:
                continue
            problem = f"not done after {self._patience:g} s" if late else ""
            if status:
                problem = _last_words(call.said) or f"its process ended with {status}"
            self._end(call)
            over.append(Call(call.run_id, call.observer, problem))
        return over

    def close(self) -> list[Call]:
        """End what is under way; give what that was."""
        ended = [Call(call.run_id, call.observer, "cut short") for call in self._open]
        for call in tuple(self._open):
            self._end(call)
        return ended

    def _end(self, call: _Open) -> None:
        self._open.remove(call)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(call.process.pid, signal.SIGKILL)  # with whatever it started
        call.process.wait()
        call.said.close()


def tell_all(wishes: Iterable[Wish], view: RunView, clock: Clock) -> list[Call]:
    """Tell some observers of a run's end and wait for it; give those calls that failed."""
    calls, over = Calls(clock), list[Call]()
    try:
        for wish in wishes:
            calls.start(wish, view)
        while not calls.is_over:
            over += calls.poll()
            if not calls.is_over:
                time.sleep(_POLL)
    finally:
        calls.close()
    return [call for call in over if call.problem]


def pack_job(wish: Wish, view: RunView) -> bytes:
    """What an observer's process reads, the inverse of :func:`unpack_job`."""
    frames = codec.encode(RunSnapshot(0, 1, view))
    job = {"name": wish.name, "options": wish.options, "frames": [f.hex() for f in frames]}
    return json.dumps(job).encode()


def unpack_job(data: bytes) -> tuple[Wish, RunView]:
    """Read :func:`pack_job`'s bytes."""
    job = json.loads(data)
    snapshot = codec.decode([bytes.fromhex(frame) for frame in job["frames"]])
    assert isinstance(snapshot, RunSnapshot)
    return Wish(job["name"], tuple(map(tuple, job["options"]))), snapshot.view


def _environment() -> dict[str, str]:
    """Ours, with our own package importable from whatever directory it is in."""
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = dict.fromkeys(path for path in (ours, *inherited) if path)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _last_words(said: BinaryIO) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last[:_MOST_WORDS].removesuffix(".")
