"""The keeper: what is written when, and what happens when it cannot be."""

from __future__ import annotations

import select
import threading

import pytest

from loads.broker import documents as d
from loads.broker.actions import LookUp, Removed, StorageFailed, StorageWorks
from loads.broker.core import Core, Settings
from loads.broker.keeper import (
    COMPACT_AT,
    PATIENCE,
    RETRY,
    RETRY_PATIENCE,
    TIDY,
    Keeper,
)
from loads.clock import FakeClock
from loads.errors import StorageError
from loads.storage.base import AddDelta, ForgetRun, SavePart, SaveRun
from tests.e2e.waiting import PATIENCE as PATIENCE_OF_TESTS
from tests.e2e.waiting import until
from tests.unit.broker.scene import Scene, report
from tests.unit.broker.unreliable import Unreliable


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
    core.compact = lambda run_id: [SavePart(run_id, d.LEDGER, b"new")]
    keeper.keep([AddDelta("r1", bytes(COMPACT_AT - 1))], core)
    assert scene.storage.run("r1").parts[d.LEDGER] != b"new"
    keeper.keep([AddDelta("r1", b"1")], core)
    assert scene.storage.run("r1").parts[d.LEDGER] == b"new"


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


def test_a_storage_that_is_full_is_made_room_in():
    scene = Kept(max_size=1500)
    for at in (1, 2, 3):
        scene.storage.write([SaveRun(f"r{at}", 1, at, bytes(1000))])
    scene.storage.is_full = True
    assert scene.keeper.keep([RUN], scene.core) == [StorageFailed("The disk is full.")]
    assert scene.waits(0.1) == [Removed(("r1", "r2"))]
    scene.storage.is_full = False
    assert scene.waits(0.1) == [StorageWorks()], "it is tried again at once"


def test_room_that_cannot_be_made_is_asked_for_each_minute(caplog):
    scene = Kept(max_size=1500)
    for at in (1, 2, 3):
        scene.storage.write([SaveRun(f"r{at}", 1, at, bytes(1000))])
    scene.storage.is_broken = True
    scene.keeper.keep([RUN], scene.core)
    before = scene.storage.writes
    for _ in range(int(TIDY / RETRY)):
        assert scene.waits(RETRY / 2) + scene.waits(RETRY / 2) == []
    assert scene.storage.writes == before + TIDY / RETRY + 1, "and all is tried to be written"
    assert len([r for r in caplog.records if "not stored" in r.message]) == 1
    scene.storage.is_broken = False
    assert scene.waits(RETRY) == [StorageWorks()]


def test_what_was_removed_before_a_failure_is_known():
    scene = Kept(max_size=0)
    for at in (1, 2, 3):
        scene.storage.write([SaveRun(f"r{at}", 1, at, bytes(1000))])
    forget = scene.storage.write

    def write(records):
        if records == [ForgetRun("r2")]:
            raise StorageError("The disk is full.")
        forget(records)

    scene.storage.write = write
    assert scene.waits(0) == [Removed(("r1",))]
    assert scene.waits(TIDY) == [StorageFailed("The disk is full.")]


def test_a_lookup_that_fails_is_an_answer(scene):
    scene.storage.is_broken = True
    replies = []
    assert scene.keeper.look_up(LookUp(b"client", 3, "r1", 5), replies.append) == []
    scene.keeper.keep([RUN], scene.core)
    scene.keeper.look_up(LookUp(b"client", 4, "r1", 5), replies.append)
    message = "Run r1 cannot be looked up: The disk is full."
    assert [(r.request, r.code, r.message) for r in replies] == [(3, 5, message), (4, 5, message)]


def test_a_run_that_is_not_there_is_an_answer_too(scene):
    replies = []
    scene.keeper.look_up(LookUp(b"client", 3, "r1", 5), replies.append)
    assert [reply.message for reply in replies] == ["The broker knows no run r1."]


def test_a_storage_that_cannot_be_read_ends_the_start(scene):
    scene.storage.open_runs = lambda: scene.storage.run("r1")
    scene.storage.is_broken = True
    with pytest.raises(StorageError):
        scene.keeper.restore(Core(Settings()))


# -- a server, which may hang ----------------------------------------------------------------------


class Server(Unreliable):
    """A storage that is worked in a thread, and hangs there as long as a test wants."""

    is_remote = True

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.interrupted = 0

    def _work(self):
        assert self.goes_on.wait(PATIENCE_OF_TESTS)
        super()._work()

    def interrupt(self):
        self.interrupted += 1


class Remote(Kept):
    """A scene whose storage is a server."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Server()
        self.keeper = Keeper(self.storage, self.clock)

    def stays(self, seconds: float) -> list:
        events = []
        for _ in range(int(seconds * 10)):
            events += self.waits(0.1)
        return events

    def answers(self) -> list:
        """What comes of it when the server does all that it was told to."""
        self.storage.goes_on.set()
        events = []
        until(lambda: (events.extend(self.waits(0.0)), not self.keeper._clerk.is_busy)[1], "all")
        return events

    def hangs_at(self, give) -> list:
        """What comes at once of something that has the server write, which it then hangs at."""
        self.storage.goes_on.clear()
        writes = self.storage.writes
        events = give()
        until(lambda: self.storage.writes > writes, "the write that hangs")
        return events

    def hangs_with(self, *records) -> None:
        assert self.hangs_at(lambda: self.keeper.keep(records, self.core)) == []

    def until_kept(self) -> None:
        until(lambda: (self.keeper.look(), self.keeper.kept == self.keeper.given)[1], "a write")


@pytest.fixture
def remote():
    scene = Remote()
    yield scene
    scene.storage.goes_on.set()
    scene.keeper.close()
    assert not scene.keeper._clerk._thread.is_alive()


def test_nobody_waits_for_a_server_to_have_written(remote):
    remote.storage.goes_on.clear()
    assert remote.keeper.keep([RUN], remote.core) == []
    assert (remote.keeper.given, remote.keeper.kept) == (1, 0)
    assert remote.stays(PATIENCE - 0.5) == []
    remote.storage.goes_on.set()
    remote.until_kept()
    assert remote.storage.run("r1").heading.head == b"head"


def test_a_keeper_says_that_there_is_something_to_look_at(remote):
    remote.storage.goes_on.clear()
    remote.keeper.keep([RUN], remote.core)
    remote.storage.goes_on.set()
    readable, _, _ = select.select([remote.keeper.wakes], [], [], PATIENCE_OF_TESTS)
    assert readable
    assert remote.keeper.look() == []
    assert remote.keeper.kept == 1


def test_what_comes_while_a_server_writes_is_written_together(remote):
    remote.storage.goes_on.clear()
    for number in range(5):
        remote.keeper.keep([RUN, AddDelta("r1", bytes([number]))], remote.core)
    remote.storage.goes_on.set()
    remote.until_kept()
    assert remote.storage.run("r1").deltas == tuple(bytes([number]) for number in range(5))
    assert remote.storage.writes <= 2


def test_a_server_that_does_not_answer_is_given_up_once(remote, caplog):
    remote.hangs_with(RUN)
    (event,) = remote.stays(20)
    assert event == StorageFailed("memory has not answered for 3 s.")
    assert remote.keeper.kept == remote.keeper.given, "nobody is kept waiting"
    assert remote.storage.interrupted == 1
    assert remote.storage.writes == 1, "nothing more is asked of it while it is at that"
    assert len([r for r in caplog.records if "not stored" in r.message]) == 1


def test_a_broker_that_was_stopped_itself_gives_nobody_up(remote):
    remote.storage.goes_on.clear()
    remote.keeper.keep([RUN], remote.core)
    assert remote.waits(60.0) == []
    assert remote.answers() == []
    assert remote.keeper.kept == 1


def test_a_server_that_answers_again_catches_up(remote):
    run = remote.runs("a")
    remote.says("a", report("a/0", 1, 3))
    remote.storage._runs.clear()
    remote.hangs_with(AddDelta("r1", b"1"))
    remote.stays(4)
    remote.answers()  # too late: it is told everything
    assert remote.waits(RETRY) + remote.answers() == [StorageWorks()]
    stored = remote.storage.run("r1")
    assert stored.deltas == ()
    assert d.LEDGER in stored.parts
    assert run.ledger.total.hits == 3


def test_what_comes_while_it_catches_up_is_not_forgotten(remote):
    remote.runs("a")
    remote.storage._runs.clear()
    remote.storage.is_broken = True
    remote.hangs_with(AddDelta("r1", b"lost"))
    assert remote.answers() == [StorageFailed("The disk is full.")]
    remote.storage.is_broken = False
    assert remote.hangs_at(lambda: remote.waits(RETRY)) == []
    assert remote.keeper.keep([AddDelta("r1", b"1")], remote.core) == []
    assert remote.keeper.keep([AddDelta("r1", b"2")], remote.core) == []
    assert remote.keeper.kept == remote.keeper.given, "which is in memory for now"
    assert remote.answers() == [StorageWorks()]
    assert remote.storage.run("r1").deltas == (b"1", b"2")


def test_a_server_that_hangs_again_while_it_catches_up_is_asked_once_more(remote):
    remote.runs("a")
    remote.storage.is_broken = True
    remote.hangs_with(AddDelta("r1", b"lost"))
    remote.answers()
    remote.storage.is_broken = False
    assert remote.hangs_at(lambda: remote.waits(RETRY)) == []
    assert remote.stays(RETRY_PATIENCE + 1) == []
    assert remote.storage.interrupted == 1
    remote.answers()
    assert remote.waits(RETRY) + remote.answers() == [StorageWorks()]


def test_a_lookup_in_a_server_that_hangs_is_an_answer(remote):
    replies = []
    remote.storage.goes_on.clear()
    remote.keeper.look_up(LookUp(b"client", 3, "r1", 5), replies.append)
    assert replies == []
    assert [type(event) for event in remote.stays(4)] == [StorageFailed]
    message = "Run r1 cannot be looked up: memory has not answered for 3 s."
    assert [reply.message for reply in replies] == [message]


def test_what_is_written_is_finished_before_the_end(remote):
    remote.storage.goes_on.clear()
    remote.keeper.keep([RUN], remote.core)
    timer = threading.Timer(0.05, remote.storage.goes_on.set)
    timer.start()
    written = remote.storage._runs
    remote.storage.close = lambda: None
    remote.keeper.close()
    timer.join()
    assert list(written) == ["r1"]
