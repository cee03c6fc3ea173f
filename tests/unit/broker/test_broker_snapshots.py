"""A snapshot and the updates after it are the whole, with nothing twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loads.broker.actions import Publish, Tick, ToClient
from loads.metrics.tally import Tally
from loads.protocol import messages as m
from tests.unit.broker.scene import CLIENT, Scene, hits, report
from tests.unit.strategies import quick


def test_a_snapshot_publishes_first_what_is_in_it():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5))
    assert scene.asks(m.GetRun(2, "r1")) == [
        scene.published(run, hits(5)),
        ToClient(CLIENT, m.RunSnapshot(2, run.number, run.view(hits(5)))),
    ]


def test_a_snapshot_of_what_is_all_published_makes_no_update():
    scene = Scene()
    run = scene.runs("a")
    assert scene.asks(m.GetRun(2, "r1")) == [
        ToClient(CLIENT, m.RunSnapshot(2, run.number, run.view(hits(0))))
    ]


def test_a_snapshot_that_is_sent_late_holds_no_more_than_its_number_says():
    """As when a database takes its time: what is merged meanwhile is in the next update only."""
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5))
    answer = scene.asks(m.GetRun(2, "r1"))[-1].message
    scene.says("a", report("a/0", 2, 7))
    scene.asks(m.GetRun(3, "r1"))
    assert run.number > answer.number
    assert answer.view.tally.hits == 5


def test_there_is_an_update_before_any_snapshot():
    scene = Scene()
    scene.prepares("a")
    assert scene.asks(m.GetRun(2, "r1"))[-1].message.number == 1


@quick
@given(st.lists(st.sampled_from(["report", "snapshot", "tick"]), max_size=12))
def test_snapshot_and_later_updates_come_to_the_total(steps):
    scene = Scene()
    run = scene.runs("a")
    updates: dict[int, Tally] = {}
    snapshots: dict[int, Tally] = {}
    sequence = 0
    for step in [*steps, "tick"]:
        if step == "report":
            sequence += 1
            actions = scene.says("a", report("a/0", sequence, sequence))
        elif step == "snapshot":
            actions = scene.asks(m.GetRun(2, "r1"))
        else:
            scene.now += 0.25
            actions = scene.feed(Tick())
        for action in actions:
            if isinstance(action, Publish):
                assert action.message.number not in updates
                updates[action.message.number] = action.message.changes.tally
            elif isinstance(action, ToClient):
                snapshots[action.message.number] = action.message.view.tally.copy()
    assert sorted(updates) == list(range(min(updates), run.number + 1))
    for number, tally in snapshots.items():
        for later in range(number + 1, run.number + 1):
            tally.merge(updates[later])
        assert tally == run.ledger.total == hits(sum(range(sequence + 1)))
