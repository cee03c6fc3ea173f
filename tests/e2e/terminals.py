"""Terminals of a test's own, with a program on each."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.stage import COMMANDS, Stage
from tests.e2e.waiting import until

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A program on a terminal of its own, and all that it has written there."""

    def __init__(self, stage: Stage, columns: int, args: list[str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.set_blocking(self._master, False)
        self._received = b""
        # what the leader of a session opens first becomes its terminal, as tty(4) says
        tty = os.ttyname(slave)
        self._popen = subprocess.Popen(
            ["sh", "-c", f'exec "$0" "$@" <{tty} >{tty} 2>&1', *args],
            cwd=stage.project,
            env={**stage.environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        until(lambda: self._popen.poll() is not None or self._owns(), "the terminal to be taken")
        os.close(slave)

    def _owns(self) -> bool:
        return os.tcgetpgrp(self._master) == self._popen.pid

    @property
    def raw(self) -> str:
        """Everything written so far."""
        try:
            while chunk := os.read(self._master, 1 << 16):
                self._received += chunk
        except (BlockingIOError, OSError):  # nothing more yet, or for ever
            pass
        return self._received.decode(errors="replace")

    @property
    def text(self) -> str:
        """The same without what moves the cursor and gives colour."""
        return ESCAPES.sub("", self.raw).replace("\r", "")

    @property
    def code(self) -> int | None:
        """The exit status of the program; None while it runs."""
        return self._popen.poll()

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait(self) -> int:
        until(lambda: (self.raw, self._popen.poll() is not None)[1], "the end of the program")
        assert self.raw
        return self._popen.wait()

    def hang_up(self) -> None:
        """Close the terminal, as when its window is closed: who is on it gets SIGHUP."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        if self._master >= 0:
            os.close(self._master)


@contextmanager
def terminal(stage: Stage, columns: int, *options: object) -> Iterator[Terminal]:
    args = [str(COMMANDS / "loads-runner"), *(str(option) for option in options)]
    shown = Terminal(stage, columns, args)
    try:
        yield shown
    finally:
        shown.close()
