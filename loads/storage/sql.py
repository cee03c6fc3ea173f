"""What SQLite and PostgreSQL have in common: the statements.

Three tables, as :mod:`loads.storage.base` describes a run, and one row that holds the version of
the schema.  The statements name their parameters as ``:name``, which each database spells in its
own way.  Records of a run that has been forgotten leave no trace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from loads.errors import StorageError
from loads.storage.base import (
    SCHEMA,
    AddDelta,
    DropDeltas,
    ForgetRun,
    Heading,
    Record,
    SavePart,
    SaveRun,
    StoredRun,
)

#: How a table is made; ``{bytes}`` and ``{numbered}`` are types that databases name differently.
TABLES = (
    "CREATE TABLE loads_schema (version INTEGER NOT NULL)",
    "CREATE TABLE loads_runs (run_id TEXT PRIMARY KEY, created {real} NOT NULL, ended {real},"
    " head {bytes} NOT NULL)",
    "CREATE TABLE loads_parts (run_id TEXT NOT NULL REFERENCES loads_runs ON DELETE CASCADE,"
    " name TEXT NOT NULL, body {bytes} NOT NULL, PRIMARY KEY (run_id, name))",
    "CREATE TABLE loads_deltas (number {numbered},"
    " run_id TEXT NOT NULL REFERENCES loads_runs ON DELETE CASCADE, body {bytes} NOT NULL)",
    "CREATE INDEX loads_deltas_of_runs ON loads_deltas (run_id)",
    "CREATE INDEX loads_runs_by_end ON loads_runs (ended)",
)

_SAVE_RUN = (
    "INSERT INTO loads_runs (run_id, created, ended, head)"
    " VALUES (:run_id, :created, :ended, :head)"
    " ON CONFLICT (run_id) DO UPDATE"
    " SET created = excluded.created, ended = excluded.ended, head = excluded.head"
)
# From a query instead of VALUES: no row, and no error, where the run is not there any more.
_SAVE_PART = (
    "INSERT INTO loads_parts (run_id, name, body)"
    " SELECT run_id, :name, :body FROM loads_runs WHERE run_id = :run_id"
    " ON CONFLICT (run_id, name) DO UPDATE SET body = excluded.body"
)
_DROP_PART = "DELETE FROM loads_parts WHERE run_id = :run_id AND name = :name"
_ADD_DELTA = (
    "INSERT INTO loads_deltas (run_id, body)"
    " SELECT run_id, :body FROM loads_runs WHERE run_id = :run_id"
)
_DROP_DELTAS = "DELETE FROM loads_deltas WHERE run_id = :run_id"
_FORGET = "DELETE FROM loads_runs WHERE run_id = :run_id"
_HEADINGS = "SELECT run_id, created, ended, head FROM loads_runs "

Parameters = Mapping[str, Any]


def statement(record: Record) -> tuple[str, Parameters]:
    """What keeps a record."""
    if isinstance(record, SavePart) and not record.body:
        return _DROP_PART, {"run_id": record.run_id, "name": record.name}
    text = {
        SaveRun: _SAVE_RUN,
        SavePart: _SAVE_PART,
        AddDelta: _ADD_DELTA,
        DropDeltas: _DROP_DELTAS,
        ForgetRun: _FORGET,
    }[type(record)]
    return text, vars(record)


class SqlStorage(ABC):
    """A storage in a database that understands SQL."""

    @abstractmethod
    def describe(self) -> str:
        """Where it is, for people; without passwords."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """All statements within take effect together, or none.  Raises :class:`StorageError`."""

    @abstractmethod
    def _execute(self, text: str, parameters: Parameters) -> list[Sequence[Any]]:
        """Run a statement within a transaction; gives its rows."""

    def _check_schema(self) -> None:
        """Refuse a newer schema."""
        ((version,),) = self._execute("SELECT version FROM loads_schema", {})
        if version > SCHEMA:
            raise StorageError(
                f"{self.describe()} was written by a newer version of Loads (schema {version}; "
                f"this one knows {SCHEMA}).",
                "Use that version, or name another database with --db.",
            )

    def _make_tables(self, **types: str) -> None:
        for text in TABLES:
            self._execute(text.format(**types), {})
        self._execute("INSERT INTO loads_schema (version) VALUES (:version)", {"version": SCHEMA})

    def write(self, records: Sequence[Record]) -> None:
        with self._transaction():
            for record in records:
                self._execute(*statement(record))

    def open_runs(self) -> list[StoredRun]:
        with self._transaction():
            rows = self._execute(_HEADINGS + "WHERE ended IS NULL ORDER BY created, run_id", {})
            return [self._whole(Heading(*row)) for row in rows]

    def run(self, run_id: str) -> StoredRun | None:
        with self._transaction():
            rows = self._execute(_HEADINGS + "WHERE run_id = :run_id", {"run_id": run_id})
            return self._whole(Heading(*rows[0])) if rows else None

    def _whole(self, heading: Heading) -> StoredRun:
        this = {"run_id": heading.run_id}
        parts = self._execute("SELECT name, body FROM loads_parts WHERE run_id = :run_id", this)
        deltas = self._execute(
            "SELECT body FROM loads_deltas WHERE run_id = :run_id ORDER BY number", this
        )
        return StoredRun(
            heading,
            {name: bytes(body) for name, body in parts},
            tuple(bytes(body) for (body,) in deltas),
        )

    def ended_runs(self) -> list[Heading]:
        order = "WHERE ended IS NOT NULL ORDER BY ended DESC, run_id DESC"
        with self._transaction():
            return [Heading(*row) for row in self._execute(_HEADINGS + order, {})]
