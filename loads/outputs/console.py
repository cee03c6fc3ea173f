"""What people see: a live picture on a terminal, plain lines anywhere else, a report at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import ClassVar, Protocol, TextIO

from loads.metrics.summary import RunView
from loads.outputs.base import Announcer, Closeable, Output, OutputOption
from loads.outputs.plain import PlainConsole
from loads.outputs.stream import Stream


class ConsoleOutput:
    """Shows a run on ``stream``, standard output if not given.

    ``live`` says whether to draw in place; if not given, that is so on a terminal that can.
    """

    options: ClassVar[tuple[OutputOption, ...]] = ()

    def __init__(self, stream: TextIO | None = None, live: bool | None = None) -> None:
        target = Stream(stream or sys.stdout)
        self._console: _Console
        if can_draw(target, os.environ) if live is None else live:
            # rich takes longer to import than all of a short run that goes to a file.
            from loads.outputs.live import LiveConsole  # noqa: PLC0415

            self._console = LiveConsole(target)
        else:
            self._console = PlainConsole(target)

    def start(self, view: RunView) -> None:
        self._console.start(view)

    def update(self, view: RunView) -> None:
        self._console.update(view)

    def finish(self, view: RunView) -> None:
        self._console.finish(view)

    def message(self, text: str) -> None:
        self._console.message(text)

    def close(self) -> None:
        """Leave what is drawn, and give the terminal its cursor back."""
        self._console.close()


class _Console(Output, Announcer, Closeable, Protocol):
    pass


def can_draw(stream: Stream, environ: Mapping[str, str]) -> bool:
    """Whether ``stream`` is a terminal on which a cursor can be moved."""
    return stream.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")
