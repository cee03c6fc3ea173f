"""What the commands share: how they fail and show their version."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

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
    """Print one of our errors, with its hint, to standard error.

    They may be an agent's words, or those of an error in a test of somebody else.
    """
    click.echo(f"{click.style('Error:', fg='red')} {visible(error.message)}", err=True)
    for line in error.hint.splitlines():
        click.echo(f"  {visible(line)}", err=True)


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
