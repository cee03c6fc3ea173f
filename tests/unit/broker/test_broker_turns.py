"""The order in which a broker decides, stores and tells: all that it counts, it counts once."""

from __future__ import annotations

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from loads.broker.actions import Action, FromAgent, FromClient, ToAgent
from loads.broker.clerk import Clerk
from loads.broker.keeper import RETRY
from loads.broker.state import Run
from loads.protocol import messages as m
from tests.unit.broker.scene import plan, ready, register, report, submit
from tests.unit.broker.unreliable import Broker, Slow
from tests.unit.strategies import quick

WORKERS = ("a/0", "a/1", "b/0", "b/1")
COMPACTED_AT = 1_000  #: bytes, which is every few deltas


class Counted(Broker):
    """A broker whose storage fails, and two agents that come back to it.

    The report of each worker with number n has n hits, so that none stands in for another.
    """

    def __init__(self, gathered_from: int, clerk: type[Clerk]) -> None:
        super().__init__(clerk, COMPACTED_AT, gathered_from=gathered_from)
        self.said = dict.fromkeys(WORKERS, 0)  # the number of the last report
        self.acknowledged = dict.fromkeys(WORKERS, 0)
        self.lost: dict[str, set[int]] = {worker: set() for worker in WORKERS}
        self.attempt = 0
        self.agents_come()
        self.hears(FromClient(b"client", submit(plan(2, hits=(1000,))), "r1"))
        self.works(100)
        for name in "ab":
            self.hears(FromAgent(name.encode(), ready(name)))
        self.passes(0.1)
        self.works(100)

    @property
    def run(self) -> Run:
        return self.core.runs["r1"]

    def do(self, action: Action) -> None:
        if isinstance(action, ToAgent) and isinstance(action.message, m.Acknowledge):
            worker, sequence = action.message.worker, action.message.sequence
            self.acknowledged[worker] = max(self.acknowledged[worker], sequence)

    def agents_come(self) -> None:
        self.attempt += 1
        for name in "ab":
            run_id = "r1" if self.attempt > 1 else ""
            said = register(name, run_id, attempt=self.attempt)
            self.hears(FromAgent(name.encode(), said))

    # -- what happens ----------------------------------------------------------------------------

    def play(self, kind: str, *details) -> None:
        getattr(self, kind)(*details)

    def reports(self, *workers: str) -> None:
        """In one turn; some that the broker knows are said again."""
        for worker in workers:
            self.said[worker] += 1
            self.say(worker, self.said[worker])
            self.say(worker, self.acknowledged[worker] or 1)
        self.turns.flush()

    def say(self, worker: str, number: int) -> None:
        self.turns.handle(FromAgent(worker[0].encode(), report(worker, number, number)))

    def restarts(self) -> None:
        """The broker is killed; agents come back to the next, and say what they still have."""
        was_failing = bool(self.run.notes)
        self.begin()
        for worker in WORKERS:
            last = self.run.ledger.accounts[worker].last
            told = self.acknowledged[worker]
            is_stored = last >= told or told in self.lost[worker]
            assert was_failing or is_stored, "what was acknowledged is stored"
            self.lost[worker] |= set(range(last + 1, told + 1))
        self.check()
        self.agents_come()
        for name in "ab":
            self.turns.handle(FromAgent(name.encode(), ready(name)))
        for worker in WORKERS:
            for number in range(self.acknowledged[worker] + 1, self.said[worker] + 1):
                self.say(worker, number)
        self.turns.flush()

    def check(self) -> None:
        """Each report that was taken is counted once, wherever its hits are."""
        hits = 0
        for worker in WORKERS:
            account = self.run.ledger.accounts[worker]
            taken = set(range(1, account.last + 1)) - self.lost[worker]
            assert account.hits == sum(taken)
            hits += account.hits
        assert self.run.ledger.total.hits == hits
        news = self.run.ledger.news.hits  # enter the history with the next update
        assert sum(slot.count for _, _, slot in self.run.history.rows()) == hits - news


workers = st.lists(st.sampled_from(WORKERS), min_size=1, max_size=3).map(tuple)
steps = st.one_of(
    workers.map(lambda some: ("reports", *some)),
    workers.map(lambda some: ("reports", *some)),
    st.tuples(st.just("passes"), st.sampled_from([0.1, 0.3, 1.0, RETRY])),
    st.tuples(st.just("works"), st.sampled_from([1, 100])),
    st.sampled_from([("breaks",), ("is_repaired",), ("restarts",)]),
)

#: What was decided in the turn in which the storage is found to work again.
IN_ONE_TURN = [
    ("reports", "a/0"),
    ("breaks",),
    ("passes", 0.3),
    ("is_repaired",),
    ("reports", "a/0", "b/0"),
    ("passes", RETRY),
    ("restarts",),
]


@pytest.mark.parametrize("clerk", [Clerk, Slow])
@pytest.mark.parametrize("gathered_from", [0, 50])
@quick
@given(st.lists(steps, max_size=30))
@example(IN_ONE_TURN)
def test_what_is_acknowledged_is_counted_once(gathered_from, clerk, story):
    """However reports, ticks, failures, recoveries and restarts follow each other."""
    note("\n".join(map(str, story)))
    broker = Counted(gathered_from, clerk)
    for step in story:
        broker.play(*step)
        broker.check()
    broker.is_repaired()
    for _ in range(3):
        broker.works(100)
        broker.passes(RETRY)
    broker.works(100)
    assert not broker.run.notes
    assert broker.acknowledged == broker.said
    broker.restarts()
    broker.check()


def test_what_was_decided_in_the_turn_of_a_recovery_is_not_stored_beside_all_that_is_known():
    broker = Counted(0, Clerk)
    for step in IN_ONE_TURN[:-1]:
        broker.play(*step)
    assert broker.acknowledged == {"a/0": 2, "a/1": 0, "b/0": 1, "b/1": 0}
    assert broker.storage.run("r1").deltas == ()


def test_the_storage_works_when_it_has_what_came_while_it_was_told_everything():
    broker = Counted(50, Slow)
    for step in [("breaks",), ("reports", "a/0"), ("works", 100), ("is_repaired",)]:
        broker.play(*step)
    broker.passes(RETRY)
    broker.reports("a/1")
    broker.works(1)
    assert broker.run.notes, "the last report is not stored yet"
    broker.works(1)
    assert not broker.run.notes
    broker.restarts()
