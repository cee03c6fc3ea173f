"""A file that an output writes to while a run goes on, and what came since the last time."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Hashable, Iterator, Mapping
from typing import TextIO, TypeVar

from loads.errors import UsageError
from loads.outputs.stream import Stream

STANDARD_OUTPUT = "-"

_Key = TypeVar("_Key", bound=Hashable)


def increase(now: Mapping[_Key, int], before: Mapping[_Key, int]) -> Iterator[tuple[_Key, int]]:
    """What has grown by how much, in the order of ``now``."""
    for key, number in now.items():
        more = number - before.get(key, 0)
        if more:
            yield key, more


class Trail:
    """Text that is in the file as soon as it is written, so that a killed run leaves a trail.

    ``-`` is standard output, or ``stdout`` if given.  ``option`` is what named the file.  It is
    opened, and made, at once: raises :class:`UsageError` when that is not possible.  What it holds
    is left alone until :meth:`begin`, and then kept only with ``append``.  ``seekable`` tells
    whether what was written can be written over.
    """

    def __init__(
        self, filename: str, option: str, *, append: bool = False, stdout: TextIO | None = None
    ) -> None:
        self._append = append
        self._owned = filename != STANDARD_OUTPUT
        self.seekable = self._owned and not _is_special(filename)
        file = _open(filename, option, self.seekable) if self._owned else stdout or sys.stdout
        self._file: TextIO | None = file
        self._stream = Stream(file)

    def begin(self) -> None:
        """Go to where this run's text belongs.  Raises ``OSError``."""
        if self._file is not None and self.seekable:
            if self._append:
                self._file.seek(0, os.SEEK_END)
            else:
                self._file.truncate(0)

    def write(self, text: str) -> None:
        """Raises ``OSError``, and ``ValueError`` when it is closed."""
        self._stream.write(text)
        self._stream.flush()

    def write_over(self, text: str, place: int) -> None:
        """Put ASCII ``text`` where as much was written before, ``place`` bytes from the start.

        Only where it is seekable.  Raises ``OSError``.
        """
        if self._file is not None:
            end = self._file.tell()
            self._file.seek(place)
            self.write(text)
            self._file.seek(end)

    def close(self) -> None:
        """May be called more than once.  Standard output stays open."""
        if self._owned and self._file is not None:
            self._file.close()


def _open(filename: str, option: str, regular: bool) -> TextIO:
    try:
        # Not "a": that would write at the end whatever place was sought, nor "w", which empties.
        # A named pipe that nobody reads is refused instead of waited for.
        flags = os.O_RDWR | os.O_CREAT if regular else os.O_WRONLY | os.O_NONBLOCK
        descriptor = os.open(filename, flags | os.O_CLOEXEC, 0o666)
        os.set_blocking(descriptor, True)
        return open(descriptor, "r+" if regular else "w", encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{filename or repr(filename)} cannot be written: {reason}.",
            f"Give {option} a file in a directory that exists and can be written.",
        ) from error


def _is_special(filename: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(filename).st_mode)
    except (OSError, ValueError):
        return False  # opening it will tell
