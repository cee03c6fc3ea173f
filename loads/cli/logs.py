"""Where the commands log to, and how."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from loads.errors import LoadsError
from loads.outputs.stream import visible

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[Any]
else:
    _StreamHandler = logging.StreamHandler  # generic to type checkers only, before Python 3.11


class _CurrentStderr(_StreamHandler):
    """Writes to whatever standard error is at that moment: a live display may stand in for it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, stream: Any) -> None:
        raise AttributeError("the stream is standard error")


class _OneLine(logging.Formatter):
    """Writes what peers sent, names above all: it can add no line, and not act on a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """Of several lines, because it is ours; but an error may repeat what a peer sent."""
        return "\n".join(map(visible, super().formatException(ei).split("\n")))


def set_up_logging(debug: bool, logfile: str | None) -> None:
    """Log to ``logfile`` or to standard error, all of it with ``debug``.

    Raises :class:`LoadsError` when the file cannot be written.
    """
    try:
        handler = logging.FileHandler(logfile) if logfile else _CurrentStderr()
    except OSError as error:
        raise LoadsError(
            f"The log file cannot be written: {error}.", "Name another with --logfile."
        ) from error
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("loads")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
