"""The broker's home: a directory of its user's, which nobody else can look into."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from loads.errors import UsageError


def home_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """``LOADS_HOME``, or ``loads`` in the user's directory for configuration."""
    explicit = environ.get("LOADS_HOME")
    if explicit:
        return Path(explicit)
    config = environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "loads"


#: The same for a shell on another machine.
HOME_IN_SHELL = "${LOADS_HOME:-${XDG_CONFIG_HOME:-$HOME/.config}/loads}"


def make_home(home: Path) -> Path:
    """Create a home that only we can enter, or make sure that it is one.

    Raises :class:`UsageError` when others own it or can enter it.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = home.lstat()
    except OSError as error:
        raise UsageError(
            f"The broker's home cannot be made: {error}.", "Name another with LOADS_HOME."
        ) from error
    if not stat.S_ISDIR(status.st_mode) or not _is_private(status):
        raise UsageError(
            f"Others can enter {home}, where the broker's keys are.",
            f"Run chmod 700 {home}, or name another directory with LOADS_HOME.",
        )
    return home


def read_private(path: Path) -> bytes:
    """The content of a file that holds a secret.

    Raises ``FileNotFoundError`` when there is none, and :class:`UsageError` when others can read
    or write it, or when it cannot be read.
    """
    try:
        return load_private(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def load_private(path: Path) -> bytes:
    """The same, but raises ``OSError`` when it cannot be read."""
    with path.open("rb") as file:
        if not _is_private(os.fstat(file.fileno())):
            raise UsageError(
                f"Others can read {path}, and it holds a secret.",
                f"Run chmod 600 {path}; if others may have read it, have a new token made.",
            )
        return file.read(1 << 20)


def write_private(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file that only we can read, all of it or nothing.

    Raises ``FileExistsError`` when it is there and is not to be replaced, and
    :class:`UsageError` when it cannot be written.
    """
    with drafted(path, replace=replace) as file:
        file.write(content)


@contextmanager
def drafted(path: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """A file that only we can read, to be written; it is at ``path`` when that has gone well.

    Where it could not be, that shows before anything is written.  Raises as
    :func:`write_private` does.
    """
    try:
        if replace and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        descriptor, written = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # of mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            if replace:
                os.replace(written, path)
            else:
                os.link(written, path)
                os.unlink(written)
        except BaseException:
            os.unlink(written)
            raise
    except FileExistsError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and not status.st_mode & 0o077
