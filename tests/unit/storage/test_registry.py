"""Which storage a URL means."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import pytest

from loads.errors import StorageError
from loads.storage.memory import MemoryStorage
from loads.storage.registry import GROUP, open_storage
from loads.storage.sqlite import SqliteStorage


def test_a_path_is_an_sqlite_file(tmp_path):
    storage = open_storage(str(tmp_path / "a.db"))
    assert isinstance(storage, SqliteStorage)
    storage.close()


def test_nothing_but_memory():
    assert isinstance(open_storage("memory:"), MemoryStorage)


def test_all_schemes_have_a_storage():
    schemes = {point.name: point.load().__name__ for point in entry_points(group=GROUP)}
    assert schemes == {
        "memory": "MemoryStorage",
        "postgres": "PostgresStorage",
        "postgresql": "PostgresStorage",
        "redis": "RedisStorage",
        "rediss": "RedisStorage",
        "redis+unix": "RedisStorage",
        "unix": "RedisStorage",
        "sqlite": "SqliteStorage",
    }


def test_a_scheme_that_nobody_knows():
    with pytest.raises(StorageError, match="No database is known by mongodb:") as error:
        open_storage("mongodb://host/")
    assert "memory, postgres, postgresql, redis" in error.value.hint


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("redis://127.0.0.1:1/", "redis://127.0.0.1:1/ cannot be used"),
        ("redis://me:secret@127.0.0.1:1/0", "redis://127.0.0.1:1/0 cannot be used"),
        ("postgresql://me:secret@127.0.0.1:1/loads", "postgresql://127.0.0.1:1/loads cannot be"),
        ("postgresql://127.0.0.1:1/loads?nonsense=1", "nonsense"),
    ],
)
def test_a_server_that_is_not_there(url, match):
    """Nobody listens on port 1; passwords are not shown."""
    with pytest.raises(StorageError, match=match) as error:
        open_storage(url)
    assert "secret" not in str(error.value)


def test_a_missing_extra_is_named(monkeypatch):
    class Missing(EntryPoint):
        def load(self):
            raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    points = [Missing("postgresql", "loads.storage.postgres:PostgresStorage", GROUP)]
    with pytest.raises(StorageError, match="needs psycopg, which is not installed") as error:
        open_storage("postgresql://host/db", points)
    assert error.value.hint == "pip install 'loads[postgres]'"
