"""Runs in a PostgreSQL database.

A broker holds an advisory lock for as long as its connection lasts, so that no second one takes
over its runs.  When the connection is lost, the next call opens another.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg

from loads.errors import StorageError
from loads.storage.sql import Parameters, SqlStorage

LOCK = 0x4C4F414453  #: the number of the advisory lock
PATIENCE = 3  #: seconds that a server may take to let us in, and for one statement
_HINT = "Is the server running, and may this user connect? As in postgresql://user@host/database."
_NAMED = re.compile(r":(\w+)")


class PostgresStorage(SqlStorage):
    """Tables in a database that may hold others."""

    is_remote = True

    def __init__(self, url: str) -> None:
        """``url`` is as libpq takes it.  Raises :class:`StorageError`."""
        self._url = url
        parts = urlsplit(url)
        self._name = f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._connection: psycopg.Connection[Any] | None = None
        self._line: socket.socket | None = None  #: what it is connected with, to cut it
        with self._transaction():
            pass

    def describe(self) -> str:
        return self._name

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=PATIENCE,
            tcp_user_timeout=PATIENCE * 1000,
            keepalives_idle=PATIENCE,
            keepalives_interval=1,
            keepalives_count=PATIENCE,
            options=f"-c statement_timeout={PATIENCE}s -c lock_timeout={PATIENCE}s",
        )
        try:
            self._open(connection)
        except BaseException:
            connection.close()
            self.close()
            raise
        self._connection = connection
        return connection

    def _open(self, connection: psycopg.Connection[Any]) -> None:
        self._line = socket.socket(fileno=os.dup(connection.fileno()))
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if row is None or not row[0]:
            raise StorageError(
                f"Another broker uses {self._name}.",
                "Use that broker, stop it, or give this one a database of its own with --db.",
            )
        self._connection = connection
        with connection.transaction():
            ((table,),) = self._execute("SELECT to_regclass('loads_schema')", {})
            if table is None:
                self._make_tables(
                    bytes="BYTEA",
                    real="DOUBLE PRECISION",
                    numbered="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                )
            self._check_schema()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            connection = self._connect()
            with connection.transaction():
                yield
        except (psycopg.Error, UnicodeError) as error:
            self.close()
            text = " ".join(str(error).split())
            raise StorageError(f"{self._name} cannot be used: {text}", _HINT) from error
        except StorageError:
            self.close()
            raise

    def _execute(self, text: str, parameters: Parameters) -> list[Sequence[Any]]:
        assert self._connection is not None
        cursor = self._connection.execute(_NAMED.sub(r"%(\1)s", text), parameters)
        return cursor.fetchall() if cursor.description else []

    def size(self) -> int:
        """The bytes of all bodies."""
        with self._transaction():
            rows = self._execute(
                "SELECT coalesce((SELECT sum(length(head)) FROM loads_runs), 0)"
                " + coalesce((SELECT sum(length(body)) FROM loads_parts), 0)"
                " + coalesce((SELECT sum(length(body)) FROM loads_deltas), 0)",
                {},
            )
        return int(rows[0][0])

    def shrink(self) -> None:
        """The server's own autovacuum does that."""

    def interrupt(self) -> None:
        """Cut the line: libpq itself waits for an answer for as long as the server is there."""
        line = self._line
        if line is not None:
            with suppress(OSError):  # closed meanwhile
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
