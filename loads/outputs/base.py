"""What an output is, and how several share a run without being able to harm it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, TextIO, runtime_checkable

from loads.errors import LoadsError
from loads.metrics.summary import RunView
from loads.outputs.stream import Stream, visible
from loads.plugins import PluginOption


class Output(Protocol):
    """What every output does.  Each view is cumulative: the last one holds all that is known.

    An output that cannot work because of what the user asked for raises
    :class:`~loads.errors.UsageError` when it is built, before there is a run to lose.  What it
    raises later is reported and costs nobody but itself.
    """

    def start(self, view: RunView) -> None:
        """The run is about to begin."""

    def update(self, view: RunView) -> None:
        """Some time has passed; called about four times a second."""

    def finish(self, view: RunView) -> None:
        """The run is over, however it ended; called once."""


@runtime_checkable
class Announcer(Protocol):
    """An output that also shows notices, such as that a run is being stopped."""

    def message(self, text: str) -> None:
        """Show one line at once."""


@runtime_checkable
class Closeable(Protocol):
    """An output that holds something to be given back even when a run dies in mid-air."""

    def close(self) -> None:
        """Give it back.  May be called at any time and more than once."""


#: An option of an output, ``--output-NAME-OPTION`` on the command line.
OutputOption = PluginOption


class Outputs:
    """Hands everything to several outputs; one that fails is reported, left out, and closed.

    ``outputs`` are pairs of a name and an output.  Those that show notices come first, so that a
    live picture is off the terminal before another output writes there; else the order is kept.
    ``stream`` is where failures are reported: standard error at that moment, if not given.
    """

    def __init__(self, outputs: Iterable[tuple[str, Output]], stream: TextIO | None = None) -> None:
        self._outputs = sorted(outputs, key=lambda pair: not isinstance(pair[1], Announcer))
        self._stream = stream

    @property
    def names(self) -> list[str]:
        """The outputs that are still served, in the order in which they are."""
        return [name for name, _ in self._outputs]

    def start(self, view: RunView) -> None:
        self._each(lambda output: output.start(view))

    def update(self, view: RunView) -> None:
        self._each(lambda output: output.update(view))

    def finish(self, view: RunView) -> None:
        self._each(lambda output: output.finish(view))

    def message(self, text: str) -> None:
        """Show one line on those outputs that can."""
        self._each(lambda output: output.message(text) if isinstance(output, Announcer) else None)

    def close(self) -> None:
        """Give back what the outputs hold, the terminal above all.  May be called repeatedly."""
        self._each(lambda output: output.close() if isinstance(output, Closeable) else None)

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _each(self, act: Callable[[Output], None]) -> None:
        for pair in tuple(self._outputs):
            try:
                act(pair[1])
            except Exception as error:
                self._drop(pair, error)

    def _drop(self, pair: tuple[str, Output], error: Exception) -> None:
        self._outputs.remove(pair)
        name, output = pair
        if isinstance(output, Closeable):
            with contextlib.suppress(Exception):
                output.close()
        line = f"warning: the output {visible(name)} failed and is left out: {_one_line(error)}\n"
        report = Stream(self._stream or sys.stderr)
        # With nowhere left to complain, the run still matters more than the complaint.
        with contextlib.suppress(OSError, ValueError):
            report.write(line)
            report.flush()


def _one_line(error: Exception) -> str:
    if isinstance(error, LoadsError):
        text = f"{error.message} {error.hint}".strip()
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror + (f": {error.filename}" if error.filename else "")
    else:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return visible(" ".join(text.split()))
