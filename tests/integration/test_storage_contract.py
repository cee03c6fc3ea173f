"""What every storage does, asked of each with its real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from loads.errors import StorageError
from loads.storage.base import (
    AddDelta,
    DropDeltas,
    ForgetRun,
    Heading,
    Record,
    SavePart,
    SaveRun,
    Storage,
    StoredRun,
    trim,
)
from loads.storage.memory import MemoryStorage
from loads.storage.registry import open_storage
from tests.integration.databases import postgres_server, redis_server

PERSISTENT = ("sqlite", "postgresql", "redis")


@dataclass
class Place:
    """Where a storage is; it can be opened, closed and opened again."""

    kind: str
    url: str

    def open(self) -> Storage:
        return open_storage(self.url)

    def set_schema(self, version: int) -> None:
        """Pretend that a storage, which is closed, was written by another version."""
        if self.kind == "redis":
            import redis

            with redis.Redis.from_url(self.url) as client:
                client.set("loads:schema", version)
        elif self.kind == "sqlite":
            import sqlite3

            connection = sqlite3.connect(self.url)
            connection.execute("UPDATE loads_schema SET version = ?", (version,))
            connection.commit()
            connection.close()
        else:
            import psycopg

            with psycopg.connect(self.url) as connection:
                connection.execute("UPDATE loads_schema SET version = %s", (version,))

    def clear(self) -> None:
        """Remove all that is in a database that tests share."""
        if self.kind == "redis":
            import redis

            with redis.Redis.from_url(self.url) as client:
                client.flushdb()
        elif self.kind == "postgresql":
            import psycopg

            with psycopg.connect(self.url) as connection:
                connection.execute(
                    "DROP TABLE IF EXISTS loads_schema, loads_deltas, loads_parts, loads_runs"
                )


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


def _kinds(*names: str) -> list[object]:
    marks = {
        "postgresql": pytest.mark.needs("postgres", "initdb"),
        "redis": pytest.mark.needs("redis-server"),
    }
    return [pytest.param(name, marks=marks.get(name, ())) for name in names]


@pytest.fixture(params=_kinds("memory", *PERSISTENT))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from _place(request, tmp_path)


@pytest.fixture(params=_kinds(*PERSISTENT))
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place that outlives who has opened it."""
    yield from _place(request, tmp_path)


def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind: str = request.param
    urls = {"memory": "memory:", "sqlite": str(tmp_path / "broker.db")}
    fixtures = {"redis": "redis_url", "postgresql": "postgres_url"}
    url = urls.get(kind) or request.getfixturevalue(fixtures[kind])
    place = Place(kind, url)
    yield place
    place.clear()


@pytest.fixture
def storage(place: Place) -> Iterator[Storage]:
    storage = place.open()
    yield storage
    storage.close()


def going(run_id: str = "r1", created: float = 1.5, head: bytes = b"head") -> SaveRun:
    return SaveRun(run_id, created, None, head)


def ended(run_id: str = "r1", at: float = 9.25, head: bytes = b"over") -> SaveRun:
    return SaveRun(run_id, 1.5, at, head)


def test_a_new_storage_is_empty(storage: Storage) -> None:
    assert storage.open_runs() == []
    assert storage.ended_runs() == []
    assert storage.run("r1") is None


def test_a_run_with_all_that_belongs_to_it(storage: Storage) -> None:
    body = bytes(range(256)) * 5
    storage.write([going(), SavePart("r1", "ledger", body), AddDelta("r1", b"1"), going("r2", 0.5)])
    storage.write([AddDelta("r2", b"other"), AddDelta("r1", b""), AddDelta("r1", b"3")])
    whole = StoredRun(Heading("r1", 1.5, None, b"head"), {"ledger": body}, (b"1", b"", b"3"))
    other = StoredRun(Heading("r2", 0.5, None, b"head"), {}, (b"other",))
    assert storage.run("r1") == whole
    assert storage.open_runs() == [other, whole]


def test_what_is_saved_again_is_replaced(storage: Storage) -> None:
    storage.write([going(), SavePart("r1", "ledger", b"1"), SavePart("r1", "bundle", b"zip")])
    storage.write(
        [going(head=b"new"), SavePart("r1", "ledger", b"2"), SavePart("r1", "bundle", b"")]
    )
    assert storage.run("r1") == StoredRun(Heading("r1", 1.5, None, b"new"), {"ledger": b"2"})


def test_deltas_are_dropped_up_to_then(storage: Storage) -> None:
    storage.write([going(), going("r2"), AddDelta("r1", b"1"), AddDelta("r2", b"kept")])
    storage.write([AddDelta("r1", b"2"), DropDeltas("r1"), AddDelta("r1", b"3")])
    assert [run.deltas for run in storage.open_runs()] == [(b"3",), (b"kept",)]


def test_a_run_that_ends_moves(storage: Storage) -> None:
    storage.write([going("r1"), going("r2"), going("r3")])
    storage.write([ended("r1", 20), ended("r3", 30)])
    assert [run.heading.run_id for run in storage.open_runs()] == ["r2"]
    assert storage.ended_runs() == [
        Heading("r3", 1.5, 30, b"over"),
        Heading("r1", 1.5, 20, b"over"),
    ]


def test_a_run_that_is_forgotten_leaves_no_trace(storage: Storage) -> None:
    storage.write([going(), SavePart("r1", "ledger", b"1"), AddDelta("r1", b"1"), ForgetRun("r1")])
    storage.write([SavePart("r1", "ledger", b"2"), AddDelta("r1", b"2"), ForgetRun("r1")])
    assert storage.run("r1") is None
    storage.write([going()])
    assert storage.run("r1") == StoredRun(Heading("r1", 1.5, None, b"head"))


def test_large_bodies(storage: Storage) -> None:
    body = b"0123456789abcdef" * (1 << 18)
    storage.write([going(), SavePart("r1", "bundle", body), AddDelta("r1", body)])
    assert storage.size() > 2 * len(body)
    found = storage.run("r1")
    assert found is not None
    assert (found.parts["bundle"], found.deltas) == (body, (body,))


def test_nothing_to_write(storage: Storage) -> None:
    storage.write([])
    assert storage.open_runs() == []


def test_old_runs_are_removed_and_those_that_go_on_stay(storage: Storage) -> None:
    storage.write([ended(f"r{at}", at) for at in (10, 20, 30)])
    storage.write([going("old", created=1), AddDelta("old", b"1")])
    assert trim(storage, 25, None) == ["r10", "r20"]
    assert trim(storage, 25, None) == []
    assert [heading.run_id for heading in storage.ended_runs()] == ["r30"]
    assert [run.heading.run_id for run in storage.open_runs()] == ["old"]


def test_a_storage_that_is_too_large_forgets_what_ended_first(storage: Storage) -> None:
    body = bytes(100_000)
    for at in (30, 10, 20):
        storage.write([ended(f"r{at}", at), SavePart(f"r{at}", "result", body)])
    storage.write([going("large"), SavePart("large", "bundle", body)])
    before = storage.size()
    assert trim(storage, None, before) == []
    assert trim(storage, None, before - 50_000) == ["r10"]
    assert storage.size() <= before - 90_000
    assert trim(storage, None, 0) == ["r20", "r30"]
    assert [run.heading.run_id for run in storage.open_runs()] == ["large"]


def test_what_was_written_outlives_who_wrote_it(lasting: Place) -> None:
    storage = lasting.open()
    storage.write([going(), SavePart("r1", "ledger", b"1"), AddDelta("r1", b"1"), ended("r2")])
    before = storage.open_runs(), storage.ended_runs()
    storage.close()
    again = lasting.open()
    assert (again.open_runs(), again.ended_runs()) == before
    again.write([AddDelta("r1", b"2")])
    assert again.open_runs()[0].deltas == (b"1", b"2")
    again.close()


def test_all_records_of_a_batch_or_none(lasting: Place) -> None:
    storage = lasting.open()
    storage.write([going(), AddDelta("r1", b"1")])
    with pytest.raises(StorageError):
        storage.write([AddDelta("r1", b"2"), ended("r2"), SavePart("r1", "\ud800", b"3")])
    assert storage.run("r1") == StoredRun(Heading("r1", 1.5, None, b"head"), {}, (b"1",))
    assert storage.run("r2") is None
    storage.write([AddDelta("r1", b"2")])
    assert storage.open_runs()[0].deltas == (b"1", b"2")
    storage.close()


def test_a_second_broker_is_refused_and_the_first_goes_on(lasting: Place) -> None:
    first = lasting.open()
    first.write([going()])
    with pytest.raises(StorageError, match="Another broker") as refused:
        lasting.open()
    assert "--db" in refused.value.hint
    first.write([AddDelta("r1", b"1")])
    assert first.open_runs()[0].deltas == (b"1",)
    first.close()
    second = lasting.open()
    assert second.open_runs()[0].deltas == (b"1",)
    second.close()


def test_a_newer_schema_is_refused_and_left_alone(lasting: Place) -> None:
    storage = lasting.open()
    storage.write([going()])
    storage.close()
    lasting.set_schema(99)
    with pytest.raises(StorageError, match="newer version of Loads"):
        lasting.open()
    lasting.set_schema(1)
    storage = lasting.open()
    assert len(storage.open_runs()) == 1
    storage.close()


run_ids = st.sampled_from(["r1", "r2", "r3"])
moments = st.floats(0, 2e9)
bodies = st.binary(max_size=20)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(SaveRun, run_ids, moments, st.none() | moments, bodies),
    st.builds(SavePart, run_ids, st.sampled_from(["ledger", "result"]), bodies),
    st.builds(AddDelta, run_ids, bodies),
    st.builds(AddDelta, run_ids, bodies),
    st.builds(DropDeltas, run_ids),
    st.builds(ForgetRun, run_ids),
)


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.lists(records, max_size=6), max_size=6))
@example(
    [
        [SaveRun("r1", 0, None, b""), ForgetRun("r1"), AddDelta("r1", b"-")],
        [SaveRun("r1", 0, None, b"")],
    ]
)
def test_every_storage_agrees_with_that_in_memory(storage: Storage, batches) -> None:
    model = MemoryStorage()
    storage.write([ForgetRun(run_id) for run_id in ("r1", "r2", "r3")])
    for batch in batches:
        storage.write(batch)
        model.write(batch)
    assert storage.open_runs() == model.open_runs()
    assert storage.ended_runs() == model.ended_runs()
    for run_id in ("r1", "r2", "r3"):
        assert storage.run(run_id) == model.run(run_id)
