"""Runs in an SQLite file: the default.

The file is in WAL mode and synchronised at checkpoints only.  What was committed outlives the
broker, however that ends; if the machine itself loses power, the last moments may be missing, and
the file is still whole.

A broker holds the file's lock for as long as it runs, so that no second one takes over its runs.
The kernel drops the lock with the process.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from loads.errors import StorageError
from loads.storage.sql import Parameters, SqlStorage

APPLICATION_ID = 0x4C4F4144  #: "LOAD", by which file(1) and we know our own files
_ELSEWHERE = "Name another file with --db."


class SqliteStorage(SqlStorage):
    """A file of its own."""

    is_remote = False

    def __init__(self, url: str) -> None:
        """``url`` is a path, or ``sqlite:///path``.  Raises :class:`StorageError`."""
        self._path = Path(url.removeprefix("sqlite://")).expanduser()
        self._make_file()
        try:
            self._connection = sqlite3.connect(self._path, timeout=1.0, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            raise self._unusable(error) from error
        except BaseException:
            self._connection.close()
            raise

    def _make_file(self) -> None:
        """An empty file that only we can read is what SQLite takes for a new database."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StorageError(
                f"The database {self._path} cannot be opened: {error.strerror}.", _ELSEWHERE
            ) from error

    def _open(self) -> None:
        execute = self._connection.execute
        (application,) = execute("PRAGMA application_id").fetchone()
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION_ID:
            raise StorageError(f"{self._path} is a database of another program.", _ELSEWHERE)
        execute("PRAGMA locking_mode = EXCLUSIVE")
        # These two have an effect before there are tables.  Deltas are some kilobytes: with pages
        # of 8 KB writing them took half of what it took with 4 KB, and 16 KB gained little more.
        execute("PRAGMA page_size = 8192")
        execute("PRAGMA auto_vacuum = INCREMENTAL")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA foreign_keys = ON")
        with self._transaction():  # which takes the lock, and keeps it
            if not tables:
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._make_tables(bytes="BLOB", real="REAL", numbered="INTEGER PRIMARY KEY")
            self._check_schema()

    def _unusable(self, error: sqlite3.Error) -> StorageError:
        text = str(error)
        if "locked" in text:
            return StorageError(
                f"Another broker has the database {self._path} open.",
                "Use that broker, stop it, or give this one a database of its own with --db.",
            )
        if isinstance(error, sqlite3.OperationalError):
            return StorageError(f"The database {self._path} cannot be used: {text}.", _ELSEWHERE)
        return StorageError(
            f"{self._path} is no database, or damaged: {text}.",
            "It was left as it is. Move it away to begin with a new one, or name another with "
            "--db.",
        )

    def describe(self) -> str:
        return str(self._path)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # some errors have rolled back already
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._unusable(error) from error
            if isinstance(error, UnicodeError):
                raise StorageError(f"{self._path} cannot hold this: {error}.") from error
            raise

    def _execute(self, text: str, parameters: Parameters) -> list[Sequence[Any]]:
        return self._connection.execute(text, dict(parameters)).fetchall()

    def size(self) -> int:
        """The pages in use; those that are free are used again before the file grows."""
        with self._transaction():
            ((pages,),) = self._execute("PRAGMA page_count", {})
            ((free,),) = self._execute("PRAGMA freelist_count", {})
            ((bytes_each,),) = self._execute("PRAGMA page_size", {})
        return int((pages - free) * bytes_each)

    def shrink(self) -> None:
        """Cut the free pages off the file, and the log to nothing."""
        try:
            # frees a page with each step, of which execute() does one and executescript() all
            self._connection.executescript("PRAGMA incremental_vacuum")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def interrupt(self) -> None:
        """What waits for a disk cannot be broken off."""

    def close(self) -> None:
        with suppress(sqlite3.Error):  # the log is left, and read when the file is opened next
            self._connection.close()
