"""The summary as a JSON file."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from typing import ClassVar, TextIO

from loads.errors import LoadsError, UsageError
from loads.metrics.summary import RunView, summarise
from loads.outputs.base import OutputOption
from loads.outputs.stream import Stream

STANDARD_OUTPUT = "-"


class JsonOutput:
    """Writes :func:`~loads.metrics.summary.summarise` to ``filename`` when the run is over.

    ``-`` is standard output.  A file appears as a whole or not at all, and takes the place of an
    older one with that one's mode; a device or a pipe is written to as it is.  Whether the place
    can be written is tried when the output is built: raises :class:`UsageError` if it cannot.

    When writing fails at the end after all, :meth:`finish` raises :class:`LoadsError`, and a
    summary that took a run to make goes to standard error instead.  The exception is a reader of
    standard output that has gone away: it has seen all that it wanted.
    """

    options: ClassVar[tuple[OutputOption, ...]] = (
        OutputOption("filename", STANDARD_OUTPUT, "file for the summary; - is standard output"),
    )

    def __init__(
        self,
        filename: str = STANDARD_OUTPUT,
        *,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self._filename = filename
        self._stdout = stdout
        self._stderr = stderr
        if filename != STANDARD_OUTPUT:
            _check(filename)

    def start(self, view: RunView) -> None:
        pass

    def update(self, view: RunView) -> None:
        pass

    def finish(self, view: RunView) -> None:
        """Write the summary.  Raises :class:`LoadsError` when it cannot be written."""
        text = json.dumps(summarise(view), indent=2) + "\n"
        try:
            write(text, self._filename, self._stdout)
        except OSError as error:
            self._rescue(text, error)

    def _rescue(self, text: str, error: OSError) -> None:
        to_stdout = self._filename == STANDARD_OUTPUT
        where = "standard output" if to_stdout else self._filename
        message = f"The summary could not be written to {where}: {error.strerror or error}."
        if to_stdout and isinstance(error, BrokenPipeError):
            raise LoadsError(message) from error
        with contextlib.suppress(OSError):
            _pour(text, self._stderr or sys.stderr)
        raise LoadsError(message, "It is on standard error instead.") from error


def write(text: str, filename: str, stdout: TextIO | None = None) -> None:
    """Put a text where ``--output-json-filename`` says.  Raises ``OSError``."""
    if filename == STANDARD_OUTPUT:
        _pour(text, stdout or sys.stdout)
    elif _is_special(filename):
        with open(filename, "w", encoding="utf-8") as file:
            _pour(text, file)
    else:
        _replace(filename, text)


def _pour(text: str, file: TextIO | None) -> None:
    stream = Stream(file)
    stream.write(text)
    stream.flush()


def _is_special(filename: str) -> bool:
    # Replacing /dev/null or a named pipe by a file would do harm far beyond this run.
    try:
        return not stat.S_ISREG(os.stat(filename).st_mode)
    except OSError:
        return False


def _check(filename: str) -> None:
    try:
        if os.path.isdir(filename) or filename.endswith("/") or not filename:
            raise UsageError(
                f"The summary cannot be written to {filename!r}: that is no name of a file.",
                "Name a file, as in --output-json-filename result.json.",
            )
        if os.path.exists(filename):
            if not os.access(filename, os.W_OK):
                raise PermissionError(13, os.strerror(13))
            if _is_special(filename):
                return
        descriptor, scratch = _scratch(os.path.realpath(filename))
        os.close(descriptor)
        os.unlink(scratch)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The summary cannot be written to {filename}: {reason}.",
            "Give --output-json-filename a file in a directory that exists and can be written.",
        ) from error


def _scratch(target: str) -> tuple[int, str]:
    """A new, open file beside ``target``, with the mode that the user's umask gives."""
    name = os.path.join(os.path.dirname(target), f".loads-{os.urandom(6).hex()}.tmp")
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), name


def _replace(filename: str, text: str) -> None:
    target = os.path.realpath(filename)  # a link stays a link
    descriptor, scratch = _scratch(target)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # a full disk may otherwise show only after the rename
        os.replace(scratch, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise
