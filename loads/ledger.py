"""The account of a run: who has reported what, up to where, and what is missing.

Sources (the workers of a run; for a console, the broker) number their deltas from 1.  A ledger
merges each number of each source exactly once and in order: one that comes again is recognised,
one that comes too early is refused until those before it are there.  What was merged can so be
acknowledged with a single number, and a source that replays from there loses nothing.

There is a :mod:`~loads.metrics.cap` on the names in all deltas together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from loads.metrics.cap import Cap
from loads.metrics.series import TEST
from loads.metrics.tally import Tally

FINISHED = "finished"  #: a source did all it was asked to
STOPPED = "stopped"  #: a source ended early, as asked
LOST = "lost"  #: a source ended without doing all of it, and without being asked to


class Entry(Enum):
    """What became of a delta."""

    MERGED = "merged"
    REPEATED = "repeated"  #: merged before: acknowledge it again
    EARLY = "early"  #: some before it are missing: ask for them


@dataclass(frozen=True)
class Delta:
    """What a source measured since its previous delta.

    ``users`` are active in it now.  ``ended`` is empty while more will come; in the last delta
    it is :data:`FINISHED`, :data:`STOPPED` or :data:`LOST`, with a ``reason`` for people.
    ``unknown`` hits were under way when the source was lost: neither reported nor excluded.
    """

    source: str
    sequence: int
    tally: Tally
    users: int = 0
    ended: str = ""
    reason: str = ""
    unknown: int | None = 0


@dataclass(frozen=True)
class Totals:
    """What a source had done in all when it was lost: ``hits`` made, ``tests`` finished.

    Up to ``under_way`` hits more had been begun.
    """

    hits: int
    tests: int
    under_way: int


@dataclass
class Account:
    """One source.  ``last`` is the highest sequence number up to which everything was merged.

    ``ended`` is empty while more may come, and then says how the source ended; ``reason`` is for
    people.  ``unknown`` bounds what a source that was lost may have done without a report.
    ``given_up`` tells that it did not say so itself: somebody stopped waiting for it.
    ``missing`` deltas of it were merged once, and then lost with their ledger.  ``totals`` are
    known of one that was lost together with whoever made its deltas.
    """

    last: int = 0
    hits: int = 0
    users: int = 0
    ended: str = ""
    reason: str = ""
    unknown: int | None = 0
    given_up: bool = False
    missing: int = 0
    tests: int = 0
    totals: Totals | None = None

    @property
    def unreported(self) -> int:
        """The hits that it is known to have made, and that are in no delta that was merged."""
        return max(0, self.totals.hits - self.hits) if self.totals else 0

    @property
    def tests_done(self) -> int:
        """The tests that it is known to have finished, be they in a delta or not."""
        return max(self.totals.tests, self.tests) if self.totals else self.tests

    def end(self, ended: str, reason: str, unknown: int | None) -> None:
        """Note how it ended; without an ``ended``, that it goes on.

        What its totals say is the last word, also about deltas that were only late.
        """
        self.given_up = False
        if self.totals:
            self.users, self.unknown = 0, self.unreported + self.totals.under_way
            return
        self.ended, self.reason = ended, reason
        self.unknown = None if self.missing else unknown


class Ledger:
    """Merges deltas once, and knows what is missing."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._cap = Cap()
        self._taken = Tally()
        self._news = Tally()
        self._unsaved = Tally()
        self._is_taken = True

    def begin_with(self, accounts: Mapping[str, Account], total: Tally) -> None:
        """Start from what another ledger knew.  It is no news."""
        self.accounts.update(accounts)
        self._taken.merge(self._cap.admit(total))

    @property
    def total(self) -> Tally:
        """All that was merged.  To be read only."""
        if self._is_taken:
            return self._taken
        total = self._taken.copy()
        total.merge(self._news)
        total.merge(self._unsaved)
        return total

    @property
    def news(self) -> Tally:
        """What was merged since the news were taken.  To be read only."""
        news = self._news.copy()
        news.merge(self._unsaved)
        return news

    def take_news(self) -> Tally:
        """What was merged since this was last called."""
        self.take_unsaved()
        news, self._news, self._is_taken = self._news, Tally(), True
        self._taken.merge(news)
        return news

    def take_unsaved(self) -> Tally:
        """What was merged since this or the news were last taken.  To be read at once, and only.

        It stays news, for those who take these.
        """
        unsaved, self._unsaved = self._unsaved, Tally()
        self._news.merge(unsaved)
        return unsaved

    def expect(self, source: str) -> Account:
        """Open the account of a source that is to report."""
        return self.accounts.setdefault(source, Account())

    def merge(self, delta: Delta) -> Entry:
        """Enter a delta; say what became of it.

        A source that was given up as lost and reports again is open again.
        """
        account = self.expect(delta.source)
        if delta.sequence <= account.last:
            return Entry.REPEATED
        if delta.sequence > account.last + 1:
            return Entry.EARLY
        account.last = delta.sequence
        account.users = delta.users
        account.hits += delta.tally.hits
        account.tests += sum(delta.tally.outcomes(TEST).values())
        account.end(delta.ended, delta.reason, delta.unknown)
        self._unsaved.merge(self._cap.admit(delta.tally))
        self._is_taken = False
        return Entry.MERGED

    def skip(self, source: str, sequence: int) -> None:
        """A source will say nothing before number ``sequence`` again.

        It has been told that those were merged, by a ledger that was lost since.
        """
        account = self.expect(source)
        if sequence > account.last + 1:
            account.missing += sequence - account.last - 1
            account.last = sequence - 1

    def give_up(self, source: str, reason: str) -> None:
        """Wait for a source no longer, unless it has ended; what it reported before stays."""
        account = self.expect(source)
        if not account.ended:
            account.ended, account.reason, account.unknown = LOST, reason, None
            account.users, account.given_up = 0, True

    def bound(self, source: str, totals: Totals, reason: str) -> bool:
        """A source is lost, and this is what it had done in all; False if it has ended before.

        One that was given up had not said so itself.
        """
        account = self.expect(source)
        if account.ended and not account.given_up:
            return False
        account.ended, account.reason, account.totals = LOST, reason, totals
        account.end(LOST, reason, None)
        return True

    def reopen(self, source: str) -> None:
        """A source that was given up is there again; one that ended by itself stays ended."""
        account = self.accounts[source]
        if account.given_up:
            account.ended, account.reason = "", ""
            account.unknown = None if account.missing else 0
            account.given_up = False

    @property
    def users(self) -> int:
        """How many users are active over all sources."""
        return sum(account.users for account in self.accounts.values())

    @property
    def open_sources(self) -> list[str]:
        """The sources that have not ended."""
        return [source for source, account in self.accounts.items() if not account.ended]

    def losses(self) -> tuple[str, ...]:
        """What was lost, a line for each source, with what is known of its extent."""
        return tuple(
            f"{source} {account.reason}: {_bounds(account)}"
            if account.ended == LOST
            else f"{source} made {account.missing} reports that the broker has lost"
            for source, account in self.lost.items()
        )

    @property
    def lost(self) -> dict[str, Account]:
        """The sources that were lost, or reports of which were."""
        return {
            source: account
            for source, account in self.accounts.items()
            if account.ended == LOST or account.missing
        }


def _bounds(account: Account) -> str:
    unknown = account.unknown
    if unknown is not None and account.totals and account.unreported:
        made = account.unreported
        hits = "1 hit was" if made == 1 else f"{made:,} hits were"
        also = f", and up to {account.totals.under_way:,} were under way"
        return f"{hits} made after its last report{also if account.totals.under_way else ''}"
    if unknown is None:
        return "what it did after its last report is not known"
    if not unknown:
        return "all its hits are counted"
    return f"all its hits are counted but the {unknown:,} that were under way"
