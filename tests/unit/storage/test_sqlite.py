"""What is special about a file."""

from __future__ import annotations

import os
import sqlite3
import stat

import pytest

from loads.errors import ExitCode, StorageError
from loads.storage.base import AddDelta, ForgetRun, SavePart, SaveRun
from loads.storage.sqlite import APPLICATION_ID, SqliteStorage

RUN = SaveRun("r1", 1.0, None, b"head")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "broker.db"


def test_nobody_else_can_read_the_file(path):
    os.umask(os.umask(0))
    storage = SqliteStorage(str(path))
    storage.write([RUN])
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    storage.close()
    assert [file.name for file in path.parent.iterdir()] == ["broker.db"]


def test_a_url_is_a_path_too(path):
    storage = SqliteStorage(f"sqlite://{path}")
    assert storage.describe() == str(path)
    storage.close()
    assert path.exists()


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(StorageError, match="cannot be opened: No such file or directory") as error:
        SqliteStorage(str(tmp_path / "nowhere" / "broker.db"))
    assert error.value.exit_code is ExitCode.USAGE
    assert "--db" in error.value.hint


def test_a_directory_in_its_place(tmp_path):
    with pytest.raises(StorageError, match="Is a directory"):
        SqliteStorage(str(tmp_path))


@pytest.mark.parametrize("content", [b"This is a shopping list.\n" * 100, b"\0" * 5000])
def test_a_file_that_is_no_database_is_left_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(StorageError, match="is no database, or damaged") as error:
        SqliteStorage(str(path))
    assert "left as it is" in error.value.hint
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_left_as_it_is(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StorageError, match="is a database of another program"):
        SqliteStorage(str(path))
    assert path.read_bytes() == content


def test_a_damaged_database_is_left_as_it_is(path):
    storage = SqliteStorage(str(path))
    storage.write([RUN, *(SavePart("r1", str(i), bytes(2000)) for i in range(50))])
    storage.close()
    content = path.read_bytes()
    damaged = content[:100] + b"\xff" * 4000 + content[4100:]
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match="no database, or damaged"):
        SqliteStorage(str(path))
    assert path.read_bytes() == damaged


def test_a_full_disk_is_an_error_and_no_loss(path):
    storage = SqliteStorage(str(path))
    storage.write([RUN, AddDelta("r1", b"1")])
    storage._connection.execute("PRAGMA max_page_count = 12").fetchall()
    with pytest.raises(StorageError, match="is full"):
        storage.write([AddDelta("r1", b"2"), SavePart("r1", "ledger", bytes(1 << 20))])
    assert storage.open_runs()[0].deltas == (b"1",)
    storage._connection.execute("PRAGMA max_page_count = 10000").fetchall()
    storage.write([AddDelta("r1", b"2"), SavePart("r1", "ledger", bytes(1 << 20))])
    assert storage.open_runs()[0].deltas == (b"1", b"2")
    storage.close()


def test_the_file_shrinks(path):
    storage = SqliteStorage(str(path))
    storage.write([RUN, SavePart("r1", "ledger", bytes(1 << 20))])
    storage.shrink()
    assert path.stat().st_size > 1 << 20
    storage.write([ForgetRun("r1")])
    assert storage.size() < 1 << 17
    storage.shrink()
    assert path.stat().st_size < 1 << 17
    assert path.with_name("broker.db-wal").stat().st_size == 0
    storage.close()


def test_file_knows_our_files(path):
    storage = SqliteStorage(str(path))
    storage.close()
    assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")
