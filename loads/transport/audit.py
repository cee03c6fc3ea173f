"""Who did what: one line of JSON for each thing that was done, added to and never changed."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path

from loads.errors import UsageError
from loads.transport.home import make_home

NAME = "audit.log"


class AuditLog:
    """The log in a home.  Several processes may write to it."""

    def __init__(self, home: Path) -> None:
        """Raises :class:`UsageError` when it cannot be written, or others could."""
        self.path = make_home(home) / NAME
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}.") from error

    def write(self, now: float, what: str, **about: str) -> None:
        """Add a line about something that happened ``now``, in seconds since the Unix epoch.

        Raises ``OSError``, as when the disk is full.
        """
        at = datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "what": what, **about}) + "\n"
        os.write(self._fd, line.encode())  # in one piece, so that no other line comes between

    def close(self) -> None:
        os.close(self._fd)
