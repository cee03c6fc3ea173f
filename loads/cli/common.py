"""What the commands share: how they fail, log and show their version."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from loads import __version__
from loads.errors import ExitCode, LoadsError
from loads.outputs.stream import visible

_Command = TypeVar("_Command", bound=Callable[..., Any])


def version_option(command: Any) -> Any:
    """Decorate a command with ``--version``, which also says the command's name."""
    message = "%(prog)s %(version)s"
    return click.version_option(
        __version__, "--version", message=message, help="Show the version and exit."
    )(command)


def retired(context: click.Context, param: click.Parameter, value: object) -> None:
    """The callback of an option of Loads 1 that has no meaning any more: say so, and go on."""
    if value is not None:
        click.echo(f"note: {param.opts[0]} is no longer needed and has no effect.", err=True)


def complain(error: LoadsError) -> None:
    """Print one of our errors, with its hint, to standard error."""
    click.echo(f"{click.style('Error:', fg='red')} {error.message}", err=True)
    if error.hint:
        click.echo("\n".join(f"  {line}" for line in error.hint.splitlines()), err=True)


def exits(command: _Command) -> Any:
    """Turn what a command returns or raises into an exit status, and never into a traceback."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except LoadsError as error:
            complain(error)
            code = error.exit_code
        except KeyboardInterrupt:
            code = ExitCode.INTERRUPTED
        sys.exit(int(code or 0))

    return wrapper


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
