"""The keeper: what is written when, and what happens when it cannot be."""

from __future__ import annotations

import pytest

from loads.broker import documents as d
from loads.broker.actions import LookUp, Removed, StorageFailed, StorageWorks
from loads.broker.core import Core, Settings
from loads.broker.keeper import COMPACT_AT, RETRY, TIDY, Keeper
from loads.clock import FakeClock
from loads.errors import StorageError
from loads.storage.base import AddDelta, SavePart, SaveRun
from loads.storage.memory import MemoryStorage
from tests.unit.broker.scene import Scene, report


class Unreliable(MemoryStorage):
    """A storage that can be out of order, and counts what is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = False
        self.writes = 0

    def write(self, records):
        self.writes += 1
        self._work()
        super().write(records)

    def run(self, run_id):
        self._work()
        return super().run(run_id)

    def _work(self):
        if self.is_broken:
            raise StorageError("The disk is full.")


class Kept(Scene):
    """A scene whose storage is looked after by a keeper."""

    def __init__(self, **limits) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.storage = Unreliable()
        self.keeper = Keeper(self.storage, self.clock, **limits)

    def waits(self, seconds: float) -> list:
        self.clock.advance(seconds)
        return self.keeper.tick(self.core)


RUN = SaveRun("r1", 1.0, None, b"head")


@pytest.fixture
def scene():
    return Kept()


def test_records_are_written_at_once(scene):
    assert scene.keeper.keep([RUN, AddDelta("r1", b"1")], scene.core) == []
    assert scene.storage.writes == 1
    assert scene.storage.run("r1").deltas == (b"1",)


def test_nothing_is_written_when_there_is_nothing(scene):
    assert scene.keeper.keep([], scene.core) == []
    assert scene.storage.writes == 0


def test_a_failure_is_told_once_and_the_storage_is_left_alone(scene, caplog):
    scene.storage.is_broken = True
    assert scene.keeper.keep([RUN], scene.core) == [StorageFailed("The disk is full.")]
    assert scene.keeper.keep([RUN], scene.core) == []
    assert scene.waits(RETRY / 2) == []
    assert scene.storage.writes == 1
    assert len([r for r in caplog.records if "not stored" in r.message]) == 1


def test_a_mistake_of_ours_in_a_storage_ends_nothing(scene, caplog):
    scene.storage.write = lambda records: {}["no such thing"]
    assert scene.keeper.keep([RUN], scene.core) == [StorageFailed("KeyError('no such thing')")]
    assert "This is a bug in Loads" in caplog.text
    assert scene.waits(RETRY) == []


def test_all_is_written_when_there_is_room_again(scene, caplog):
    caplog.set_level("INFO")
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 3))
    scene.storage._runs.clear()
    scene.storage.is_broken = True
    scene.keeper.keep([AddDelta("r1", b"1")], scene.core)
    assert scene.waits(RETRY) == []
    assert scene.waits(RETRY) == []
    assert run.ledger.total.hits == 3
    scene.storage.is_broken = False
    assert scene.waits(RETRY) == [StorageWorks()]
    assert "stored again" in caplog.text
    scene.restarts()
    assert scene.core.runs["r1"].ledger.total.hits == 3
    assert scene.keeper.keep([AddDelta("r1", b"1")], scene.core) == []
    assert scene.storage.run("r1").deltas == (b"1",)


def test_many_deltas_become_a_snapshot(scene):
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 3))
    body = bytes(COMPACT_AT // 4)
    for _ in range(3):
        scene.keeper.keep([AddDelta("r1", body)], scene.core)
    assert len(scene.storage.run("r1").deltas) == 4
    scene.keeper.keep([AddDelta("r1", body)], scene.core)
    stored = scene.storage.run("r1")
    assert stored.deltas == ()
    assert d.LEDGER in stored.parts
    scene.keeper.keep([AddDelta("r1", body)], scene.core)
    assert len(scene.storage.run("r1").deltas) == 1
    assert run.ledger.total.hits == 3


def test_a_large_ledger_is_not_written_for_a_few_deltas(scene):
    """After a restart too: what a snapshot takes is known from the one that is stored."""
    scene.storage.write([RUN, SavePart("r1", d.LEDGER, bytes(COMPACT_AT))])
    scene.storage.write([AddDelta("r1", bytes(COMPACT_AT))])
    keeper = Keeper(scene.storage, scene.clock)
    core = Core(Settings())
    keeper.restore(core)
    writes = scene.storage.writes
    keeper.keep([AddDelta("r1", bytes(COMPACT_AT - 1))], core)
    assert scene.storage.writes == writes + 1
    keeper.keep([AddDelta("r1", b"1")], core)
    assert scene.storage.writes == writes + 3, "the delta, and the snapshot"


def test_a_snapshot_that_cannot_be_written_is_a_failure_too(scene):
    scene.runs("a")
    full = scene.storage.write

    def write(records):
        if any(isinstance(record, SavePart) for record in records):
            raise StorageError("The disk is full.")
        full(records)

    scene.storage.write = write
    events = scene.keeper.keep([AddDelta("r1", bytes(COMPACT_AT))], scene.core)
    assert events == [StorageFailed("The disk is full.")]


def test_what_is_too_old_goes_at_once_and_then_each_minute():
    scene = Kept(max_age=3600.0)
    wall = scene.clock.wall()
    scene.storage.write([SaveRun("old", 1, wall - 3601, b""), SaveRun("new", 1, wall - 3590, b"")])
    assert scene.waits(0) == [Removed(("old",))]
    assert scene.waits(TIDY / 2) == []
    assert scene.waits(TIDY / 2) == [Removed(("new",))]


def test_what_is_too_much_goes():
    scene = Kept(max_size=1500)
    for at in (1, 2, 3):
        scene.storage.write([SaveRun(f"r{at}", 1, at, bytes(1000))])
    assert scene.waits(0) == [Removed(("r1", "r2"))]


def test_a_lookup_that_fails_is_an_answer(scene):
    scene.storage.is_broken = True
    reply = scene.keeper.look_up(LookUp(b"client", 3, "r1", 5))
    assert (reply.request, reply.message) == (3, "The broker knows no run r1.")


def test_a_storage_that_cannot_be_read_ends_the_start(scene):
    scene.storage.open_runs = lambda: scene.storage.run("r1")
    scene.storage.is_broken = True
    with pytest.raises(StorageError):
        scene.keeper.restore(Core(Settings()))
