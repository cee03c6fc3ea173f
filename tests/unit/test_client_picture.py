"""What a follower knows of a run, from snapshots and numbered updates."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loads.client import Picture
from loads.metrics.series import HIT, SeriesKey
from loads.metrics.summary import AgentView, RunChanges, RunView, State
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from tests.unit.strategies import quick


def hits(number: int) -> Tally:
    tally = Tally()
    for _ in range(number):
        tally.line(SeriesKey(HIT, "http://target/", "GET")).record(1000, 200)
    return tally


def view(number: int, state: State = "running") -> RunView:
    """A run with so many hits in it."""
    return RunView("r1", RunPlan("shop.test_cart", agents=1), state, tally=hits(number))


def news(number: int, state: State = "running") -> RunChanges:
    """An update with so many hits in it."""
    return RunChanges("r1", state, tally=hits(number))


def test_nothing_is_known_before_the_first_snapshot():
    picture = Picture()
    picture.update(1, news(5))
    assert picture.view is None
    assert picture.is_stale


def test_updates_add_to_the_snapshot():
    picture = Picture()
    picture.snapshot(3, view(10))
    picture.update(4, news(5))
    picture.update(5, news(1, "ended"))
    assert picture.view == view(16, "ended")
    assert not picture.is_stale


def test_updates_that_the_snapshot_has_in_it_are_not_added_again():
    picture = Picture()
    picture.snapshot(3, view(10))
    for number in (1, 2, 3):
        picture.update(number, news(5))
    assert picture.view == view(10)


def test_after_a_gap_nothing_is_added_until_there_is_a_new_snapshot():
    picture = Picture()
    picture.snapshot(3, view(10))
    picture.update(5, news(5))
    picture.update(6, news(5))
    assert picture.is_stale
    assert picture.view == view(10)
    picture.snapshot(6, view(30))
    assert not picture.is_stale
    assert picture.view == view(30)


def test_a_snapshot_that_is_older_than_what_is_known_changes_nothing():
    picture = Picture()
    picture.snapshot(3, view(10))
    picture.update(4, news(5))
    picture.snapshot(3, view(10))
    assert picture.view == view(15)


def test_a_snapshot_and_an_update_stay_what_they_were():
    picture, snapshot, update = Picture(), view(10), news(5)
    picture.snapshot(3, snapshot)
    picture.update(4, update)
    assert (snapshot, update) == (view(10), news(5))


@quick
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["heard", "missed", "twice"]))))
def test_whatever_is_missed_the_picture_is_that_of_its_number(updates):
    picture, totals = Picture(), [0]
    picture.snapshot(0, view(0))
    for number, (more, fate) in enumerate(updates, 1):
        totals.append(totals[-1] + more)
        for _ in range({"heard": 1, "missed": 0, "twice": 2}[fate]):
            picture.update(number, news(more))
        if picture.is_stale:
            picture.snapshot(number, view(totals[-1]))
        assert picture.view == view(totals[picture.number])


def test_an_update_tells_what_has_changed():
    agents = (AgentView("a", "box", 2, "running", 5), AgentView("b", "box", 2, "running", 7))
    picture = Picture()
    picture.snapshot(1, replace(view(12), agents=agents, warnings=("slow",)))
    lost = AgentView("a", "box", 2, "lost", 5, None)
    picture.update(2, replace(news(3), agents=(lost,)))
    assert picture.view == replace(view(15), agents=(lost, agents[1]), warnings=("slow",))
    picture.update(3, replace(news(0), warnings=()))
    assert picture.view == replace(view(15), agents=(lost, agents[1]))


def test_a_snapshot_that_is_known_to_be_later_counts_whatever_its_number_is():
    """The broker was restarted, and its clock was set back."""
    picture = Picture()
    picture.snapshot(1_000_000, view(10))
    assert not picture.update(3, news(5)), "it is no news"
    picture.begin_again(5, view(30))
    assert picture.view == view(30)
    assert picture.update(6, news(1, "ended"))
    assert picture.view == view(31, "ended")
