"""Text on its way to a file or a terminal that may be closed, full, or short of letters."""

from __future__ import annotations

import os
from typing import TextIO


def visible(text: str, encoding: str = "utf-8") -> str:
    r"""One line of ``text`` in which nothing can act on a terminal.

    What does not print (control characters, line ends, direction marks, half surrogates), or has
    no place in ``encoding``, is written as Python would escape it, such as ``\x1b``.
    """
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
            for char in text
        )
    return _fitting(text, encoding)


def _fitting(text: str, encoding: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


class Stream:
    """Writes to ``file``; None, as when standard output was closed before the start, is silence.

    Raises ``OSError`` when the file cannot be written.  The file is then given up: Python flushes
    standard output once more at exit, and would complain again there and change the exit status
    (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
    """

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    @property
    def encoding(self) -> str:
        return getattr(self._file, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return self._file is not None and self._file.isatty()

    def fileno(self) -> int:
        """Raises ``OSError`` when there is no descriptor."""
        if self._file is None:
            raise OSError("no file")
        return self._file.fileno()

    def write(self, text: str) -> int:
        if self._file is not None:
            try:
                self._file.write(_fitting(text, self.encoding))
            except OSError:
                self._give_up()
                raise
        return len(text)

    def flush(self) -> None:
        if self._file is not None:
            try:
                self._file.flush()
            except OSError:
                self._give_up()
                raise

    def _give_up(self) -> None:
        try:
            descriptor = self.fileno()
        except (OSError, ValueError):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
