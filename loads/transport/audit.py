"""Who did what: one line of JSON for each thing that was done, added to and never changed.

A file that has grown large becomes the older one, and what was the older one is removed.  Several
processes may write: each looks, before it does, whether the file is still the one that it has open,
and only one at a time exchanges it.
"""

from __future__ import annotations

import fcntl
import json
import os
from datetime import datetime, timezone
from pathlib import Path

from loads.errors import UsageError
from loads.transport.home import make_home

NAME = "audit.log"
OLDER = "audit.log.1"
MAX_SIZE = 10 << 20  #: bytes from which a file is the older one


class AuditLog:
    """The log in a home.  Several processes may write to it."""

    def __init__(self, home: Path, max_size: int = MAX_SIZE) -> None:
        """Raises :class:`UsageError` when it cannot be written, or others could."""
        self.path = make_home(home) / NAME
        self._older = home / OLDER
        self._max_size = max_size
        try:
            self._fd = self._open()
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}.") from error

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.path, flags, 0o600)

    def write(self, now: float, what: str, **about: str) -> None:
        """Add a line about something that happened ``now``, in seconds since the Unix epoch.

        Raises ``OSError``, as when the disk is full.
        """
        at = datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "what": what, **about}) + "\n"
        self._follow()
        if os.fstat(self._fd).st_size >= self._max_size:
            self._exchange()
        os.write(self._fd, line.encode())  # in one piece, so that no other line comes between

    def _follow(self) -> None:
        """Have the file open that is there now."""
        if not self._is_there():
            fd = self._open()
            os.close(self._fd)
            self._fd = fd

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.lstat())
        except FileNotFoundError:
            return False

    def _exchange(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # which ends when the file is closed
        if self._is_there():
            self.path.replace(self._older)
        self._follow()

    def close(self) -> None:
        os.close(self._fd)
