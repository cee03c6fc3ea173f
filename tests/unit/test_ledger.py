"""The account of a run: each delta once, whatever the network does."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loads.ledger import FINISHED, LOST, STOPPED, Delta, Entry, Ledger
from loads.metrics.series import HIT, TEST, SeriesKey
from loads.metrics.tally import Tally
from tests.unit.strategies import merged, quick

SOURCES = ("a1/w1", "a1/w2", "a2/w1")
KEYS = (SeriesKey(HIT, "/", "GET"), SeriesKey(TEST, "test_home"))

sources = st.sampled_from(SOURCES)
records = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 999)), max_size=2)


def a_tally(hits: int = 1) -> Tally:
    tally = Tally()
    for _ in range(hits):
        tally.line(KEYS[0]).record(100, 200)
    return tally


def a_delta(sequence: int = 1, *, source: str = "w", hits: int = 1, **said) -> Delta:
    return Delta(source, sequence, a_tally(hits), **said)


class Deliveries(RuleBasedStateMachine):
    """Deltas lost, repeated and in any order, against a list of what each source sent."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.published = Tally()
        self.sent: dict[str, list[Delta]] = {source: [] for source in SOURCES}
        self.last = dict.fromkeys(SOURCES, 0)
        self.given_up: set[str] = set()

    @rule(source=sources, rows=records, users=st.integers(0, 9))
    def measure(self, source, rows, users):
        """A source makes its next delta; whether it arrives is another matter."""
        deltas = self.sent[source]
        sequence, tally = len(deltas) + 1, Tally()
        tally.counters[f"{source} {sequence}"] = 1  # shows which deltas are merged, and how often
        for key, microseconds in rows:
            tally.line(key).record(microseconds, 200)
        deltas.append(Delta(source, sequence, tally, users))

    @rule(source=sources, number=st.integers(1, 6))
    def deliver(self, source, number):
        """Any delta that was ever sent arrives: late, again, or before its time."""
        if number > len(self.sent[source]):
            return
        entry = self.ledger.merge(self.sent[source][number - 1])
        if number <= self.last[source]:
            assert entry is Entry.REPEATED
        elif number == self.last[source] + 1:
            assert entry is Entry.MERGED
            self.last[source] = number
            self.given_up.discard(source)
        else:
            assert entry is Entry.EARLY

    @rule(source=sources)
    def replay(self, source):
        """After a reconnect a source sends all that was not acknowledged."""
        acknowledged = self.ledger.expect(source).last
        for delta in self.sent[source][acknowledged:]:
            assert self.ledger.merge(delta) is Entry.MERGED
            self.given_up.discard(source)
        self.last[source] = len(self.sent[source])

    @rule(source=sources)
    def give_up(self, source):
        """A source was silent for too long."""
        self.ledger.give_up(source, "is silent")
        self.given_up.add(source)

    @invariant()
    def the_acknowledged_part_of_each_source_is_counted_once(self):
        for source, account in self.ledger.accounts.items():
            merged_so_far = self.sent[source][: account.last]
            assert account.last == self.last[source]
            assert account.hits == sum(delta.tally.hits for delta in merged_so_far)

    @invariant()
    def the_total_is_what_was_acknowledged(self):
        assert self.ledger.total == merged(Tally(), *self.acknowledged())

    @rule()
    def take_news(self):
        """What was merged is published, each delta once."""
        self.published.merge(self.ledger.take_news())
        assert self.published == merged(Tally(), *self.acknowledged())
        assert not self.ledger.news

    def acknowledged(self) -> list[Tally]:
        accounts = self.ledger.accounts.items()
        return [d.tally for name, account in accounts for d in self.sent[name][: account.last]]

    @invariant()
    def only_silent_sources_are_lost_and_they_have_no_users(self):
        assert self.ledger.lost.keys() == self.given_up
        talking = [s for s in SOURCES if self.last[s] and s not in self.given_up]
        last_deltas = [self.sent[source][self.last[source] - 1] for source in talking]
        assert self.ledger.users == sum(delta.users for delta in last_deltas)

    def teardown(self):
        for source in SOURCES:
            self.replay(source)
        everything = [delta.tally for deltas in self.sent.values() for delta in deltas]
        assert self.ledger.total == merged(Tally(), *everything)
        assert set(self.ledger.total.counters.values()) <= {1}


Deliveries.TestCase.settings = settings(quick, max_examples=30, stateful_step_count=20)
TestDeliveries = Deliveries.TestCase


@pytest.mark.parametrize(
    ("numbers", "entries", "hits"),
    [
        pytest.param([1, 2], "merged merged", 2, id="in order"),
        pytest.param([1, 1], "merged repeated", 1, id="twice counts once"),
        pytest.param([2], "early", 0, id="a gap at the start"),
        pytest.param([1, 3, 2], "merged early merged", 2, id="what was early has to come again"),
        pytest.param([2, 1, 2], "early merged merged", 2, id="and then counts"),
        pytest.param([1, 2, 1], "merged merged repeated", 2, id="an old one"),
        pytest.param([0], "repeated", 0, id="numbers start at one"),
    ],
)
def test_what_becomes_of_deltas(numbers, entries, hits):
    ledger = Ledger()
    got = [ledger.merge(a_delta(number)) for number in numbers]
    assert [entry.value for entry in got] == entries.split()
    assert ledger.total.hits == ledger.accounts["w"].hits == hits


def test_the_same_number_of_two_sources_is_two_deltas():
    ledger = Ledger()
    assert ledger.merge(a_delta(source="w1")) is Entry.MERGED
    assert ledger.merge(a_delta(source="w2")) is Entry.MERGED
    assert ledger.total.hits == 2


def test_a_delta_stays_its_senders():
    # A delta may be published after it was merged; the ledger must not hold a part of it.
    ledger, delta = Ledger(), a_delta(1)
    ledger.merge(delta)
    ledger.merge(a_delta(2, hits=5))
    assert delta == a_delta(1)
    delta.tally.merge(a_tally(hits=9))
    assert ledger.total.hits == ledger.accounts["w"].hits == 6


def test_to_expect_a_source_again_changes_nothing():
    ledger = Ledger()
    ledger.merge(a_delta())
    assert ledger.expect("w").last == 1
    assert ledger.total.hits == 1


# -- how sources end -----------------------------------------------------------------------------


def test_sources_are_open_until_their_last_delta_or_the_end():
    ledger = Ledger()
    for source in SOURCES:
        ledger.expect(source)
    assert ledger.open_sources == list(SOURCES)
    ledger.merge(a_delta(source="a1/w1", ended=FINISHED))
    ledger.merge(a_delta(source="a2/w1", ended=STOPPED))
    assert ledger.open_sources == ["a1/w2"]
    assert ledger.lost == {}
    assert ledger.losses() == ()


def test_a_last_delta_ends_nothing_before_those_it_waits_for():
    ledger = Ledger()
    ledger.expect("w")
    ledger.merge(a_delta(2, ended=FINISHED))
    assert ledger.open_sources == ["w"]
    ledger.merge(a_delta(1))
    ledger.merge(a_delta(2, ended=FINISHED))
    assert ledger.open_sources == []


def test_a_repeated_delta_does_not_reopen_a_source():
    ledger = Ledger()
    ledger.merge(a_delta(1, users=5))
    ledger.merge(a_delta(2, ended=FINISHED))
    ledger.merge(a_delta(1, users=5))
    assert ledger.open_sources == []
    assert ledger.users == 0


def test_what_a_lost_source_reported_stays_and_the_rest_is_unknown():
    ledger = Ledger()
    ledger.merge(a_delta(hits=3, users=50))
    ledger.give_up("w", "is silent")
    account = ledger.lost["w"]
    assert (account.unknown, account.reason) == (None, "is silent")
    assert ledger.total.hits == 3
    assert ledger.users == 0


def test_a_source_that_has_ended_cannot_be_given_up():
    ledger = Ledger()
    ledger.merge(a_delta(ended=FINISHED))
    ledger.give_up("w", "is silent")
    assert ledger.lost == {}


def test_a_source_that_reports_its_own_loss():
    # The supervisor of a killed worker reads the rest of its memory and sends that.
    ledger = Ledger()
    ledger.merge(a_delta(hits=3, ended=LOST, reason="was killed", unknown=2))
    assert ledger.lost["w"].unknown == 2
    assert ledger.total.hits == 3


def test_a_source_given_up_that_reports_again_is_open_and_nothing_of_it_unknown():
    ledger = Ledger()
    ledger.give_up("w", "is silent")
    ledger.merge(a_delta(users=4))
    assert ledger.open_sources == ["w"]
    assert ledger.lost == {}
    assert (ledger.users, ledger.accounts["w"].unknown) == (4, 0)


def test_a_source_reopened_is_as_if_it_had_not_been_given_up():
    ledger = Ledger()
    ledger.merge(a_delta(1, hits=3))
    ledger.give_up("w", "is silent")
    ledger.reopen("w")
    assert ledger.open_sources == ["w"]
    assert ledger.losses() == ()
    assert (ledger.accounts["w"].reason, ledger.accounts["w"].unknown) == ("", 0)
    assert ledger.merge(a_delta(2)) is Entry.MERGED
    assert ledger.total.hits == 4


def test_a_source_that_reported_its_own_loss_is_not_reopened():
    # Its agent lives and comes back, but the worker is dead: that delta was its last, and
    # was acknowledged, so that nothing would ever close the account with the right bound again.
    ledger = Ledger()
    ledger.merge(a_delta(ended=LOST, reason="was killed", unknown=2))
    ledger.reopen("w")
    assert ledger.open_sources == []
    assert ledger.lost["w"].unknown == 2


@pytest.mark.parametrize(
    ("unknown", "extent"),
    [
        pytest.param(None, "not known", id="a box that died"),
        pytest.param(0, "all its hits are counted", id="between two hits"),
        pytest.param(1234, "but the 1,234 that were under way", id="amid hits"),
    ],
)
def test_a_loss_says_who_why_and_how_much(unknown, extent):
    ledger = Ledger()
    ledger.merge(a_delta(source="a1/w1", ended=LOST, reason="was killed", unknown=unknown))
    (line,) = ledger.losses()
    assert line.startswith("a1/w1 was killed: ")
    assert line.endswith(extent)


def test_a_source_that_never_spoke_can_be_lost():
    ledger = Ledger()
    ledger.give_up("w", "is silent")
    assert ledger.lost["w"].unknown is None
    assert ledger.open_sources == []


def test_users_are_those_of_the_last_deltas():
    ledger = Ledger()
    ledger.merge(a_delta(source="w1", users=5))
    ledger.merge(a_delta(source="w2", users=7))
    assert ledger.users == 12
    ledger.merge(a_delta(2, source="w1", users=3))
    assert ledger.users == 10
    ledger.give_up("w2", "is silent")
    assert ledger.users == 3
