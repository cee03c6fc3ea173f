"""Runs that have ended: none is forgotten before it is stored."""

from __future__ import annotations

import pytest

from loads.broker import documents as d
from loads.broker.actions import FromAgent, FromClient, Log, ToClient
from loads.broker.clerk import Clerk
from loads.broker.keeper import RETRY
from loads.metrics.summary import RunView
from loads.protocol import messages as m
from loads.protocol.codec import unpack
from tests.unit.broker.scene import plan, ready, register, report, submit
from tests.unit.broker.unreliable import Broker, Slow

KEPT = 2


class Busy(Broker):
    """A broker of one agent, which does run after run."""

    def __init__(self, clerk: type[Clerk] = Clerk, **settings) -> None:
        super().__init__(clerk, kept_runs=KEPT, **settings)
        self.hears(FromAgent(b"a", register("a")))

    def asks(self, message, run_id: str = "") -> None:
        self.hears(FromClient(b"client", message, run_id))

    def begins(self, run_id: str) -> None:
        self.asks(submit(plan(1)), run_id)
        self.works()
        self.hears(FromAgent(b"a", ready("a", run_id)))
        self.works()

    def ends(self, run_id: str, number: int) -> None:
        """With so many hits."""
        worker, other = "a/0", "a/1"
        self.hears(
            FromAgent(b"a", report(worker, 1, number, run_id, ended="finished")),
            FromAgent(b"a", report(other, 1, 0, run_id, ended="finished")),
            FromAgent(b"a", m.Finished(run_id)),
        )
        self.works()
        self.passes(0.1)

    def does(self, runs: int) -> None:
        """Number n has n hits."""
        for number in range(1, runs + 1):
            self.begins(f"r{number}")
            self.ends(f"r{number}", number)

    def recovers(self) -> None:
        self.is_repaired()
        for _ in range(3):
            self.works()
            self.passes(RETRY)
        self.works()

    def shown(self, run_id: str) -> RunView:
        self.done.clear()
        self.asks(m.GetRun(7, run_id))
        (answer,) = [action for action in self.done if isinstance(action, ToClient)]
        return answer.message.view


def check_stored(broker: Broker, runs: int) -> None:
    """All runs have ended, with their numbers and their histories."""
    assert broker.storage.open_runs() == []
    for number in range(1, runs + 1):
        stored = broker.storage.run(f"r{number}")
        view = unpack(RunView, stored.parts[d.RESULT])
        assert (view.status, view.tally.hits) == ("finished", number)
        assert sum(slot.count for _, _, slot in d.history_in(stored.parts).rows()) == number
        assert d.BUNDLE not in stored.parts
        assert stored.deltas == ()


@pytest.mark.parametrize("clerk", [Clerk, Slow])
def test_runs_that_end_while_the_storage_fails_are_stored_when_it_works(clerk):
    broker = Busy(clerk)
    broker.begins("r1")
    broker.breaks()
    broker.ends("r1", 1)
    for number in (2, 3, 4):
        broker.begins(f"r{number}")
        broker.ends(f"r{number}", number)
    assert list(broker.core.runs) == ["r3", "r4"]
    broker.recovers()
    check_stored(broker, 4)
    broker.begin()
    assert broker.core.runs == {}
    broker.passes(0.1)
    check_stored(broker, 4)


def test_what_is_held_takes_no_run():
    broker = Busy()
    broker.breaks()
    broker.does(20)
    assert len(broker.core.runs) == KEPT
    everything = broker.core.everything()
    assert {record.run_id for record in everything} == {f"r{n}" for n in range(1, 21)}
    broker.recovers()
    assert {record.run_id for record in broker.core.everything()} == {"r19", "r20"}
    check_stored(broker, 20)


def test_who_asks_for_a_run_that_is_held_is_shown_it():
    broker = Busy()
    broker.breaks()
    broker.does(4)
    assert "r1" not in broker.core.runs
    view = broker.shown("r1")
    assert (view.run_id, view.status, view.tally.hits) == ("r1", "finished", 1)


def test_histories_that_are_held_have_an_end():
    broker = Busy(held_histories=0)
    broker.breaks()
    broker.does(4)
    said = [action.text for action in broker.done if isinstance(action, Log)]
    assert [text for text in said if "history" in text] == [
        f"Run r{n}: its history will not be stored." for n in (1, 2)
    ]
    broker.recovers()
    for number, is_whole in [(1, False), (2, False), (3, True), (4, True)]:
        stored = broker.storage.run(f"r{number}")
        assert unpack(RunView, stored.parts[d.RESULT]).tally.hits == number
        assert bool(d.history_in(stored.parts)) == is_whole


def test_a_run_is_forgotten_when_it_is_stored_and_not_when_that_is_decided():
    broker = Busy(Slow)
    broker.does(2)
    for number in (3, 4, 5):
        broker.asks(submit(plan(2), patience=None), f"r{number}")
    broker.works()
    broker.asks(m.Purge(1, 0.0))
    assert {"r3", "r4", "r5"} <= set(broker.core.runs)
    broker.breaks()
    broker.works()
    broker.recovers()
    assert broker.storage.open_runs() == []
    for number in (3, 4, 5):
        stored = broker.storage.run(f"r{number}")
        assert unpack(RunView, stored.parts[d.RESULT]).status == "stopped"
    assert list(broker.core.runs) == ["r4", "r5"]
