"""What is kept of a run, as storages and later versions of the broker see it.

Each is a dataclass that the codec of the wire packs.  As with messages, a field that is added
later has a default, and one that is not known is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from loads.ledger import Account, Totals
from loads.metrics.history import History
from loads.metrics.summary import State, Status
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol.codec import unpack

#: The parts of a run in a storage: the test's files until it starts, the accounts of its workers,
#: and, when it has ended, the final view of it.
BUNDLE, LEDGER, RESULT = "bundle", "ledger", "result"
HISTORY = "history."  #: begins the names of the parts that hold how its series went over time


@dataclass(frozen=True)
class ExtensionKept:
    """A load that an agent takes over from one that was lost."""

    plan: RunPlan
    since: float
    deadline: float
    workers: tuple[str, ...]
    failed: str
    refused_by: tuple[str, ...] = ()
    passed_on: bool = False


@dataclass(frozen=True)
class PartKept:
    """One agent's part of a run.

    ``awaited_until`` is 0 when the agent is not, or no longer, awaited.  ``cores`` and ``version``
    are what the agent said of itself, ``key`` is the name of the one that it had.
    """

    agent_id: str
    host: str
    state: str
    workers: tuple[str, ...]
    extensions: tuple[ExtensionKept, ...] = ()
    handed_over: bool = False
    awaited_until: float = 0.0
    key: str = ""
    cores: int = 0
    version: str = ""


@dataclass(frozen=True)
class Head:
    """A run without its numbers.

    All moments are seconds since the Unix epoch, 0 for what has not happened; ``deadline`` is None
    when there is none.  ``duration``, ``hits`` and ``number`` are those at the end; before that,
    ``number`` is the one from which the broker went on to count updates.  ``patience`` is for how
    many seconds it may wait for agents, None without end; ``turn`` how often it did so again.
    """

    run_id: str
    plan: RunPlan
    digest: str
    state: State
    status: Status
    submitted: float
    started: float
    ended: float
    deadline: float | None
    stop_asked: bool
    parts: tuple[PartKept, ...]
    error_code: int = 0
    error: str = ""
    hint: str = ""
    duration: float = 0.0
    hits: int = 0
    number: int = 0
    aborted: bool = False
    remarks: tuple[str, ...] = ()
    submitted_by: str = ""
    submission: str = ""
    patience: float | None = 0.0
    turn: int = 0


@dataclass(frozen=True)
class AccountKept:
    """One worker's account."""

    source: str
    last: int
    users: int
    ended: str
    reason: str
    unknown: int | None
    given_up: bool
    missing: int
    hits: int
    tests: int = 0
    totals: Totals | None = None


@dataclass(frozen=True)
class LedgerKept:
    """The accounts of a run, up to the deltas that were dropped when this was saved.

    ``total`` is empty once the run has ended: then it is in the result.  ``news`` of it have not
    entered the history.
    """

    accounts: tuple[AccountKept, ...]
    total: Tally = field(default_factory=Tally)
    news: Tally = field(default_factory=Tally)


@dataclass(frozen=True)
class DeltaKept:
    """What many reports came to, and the accounts of those who made them, as they were then.

    A report that was stored as it came, reads as one without accounts.
    """

    tally: Tally
    accounts: tuple[AccountKept, ...] = ()


@dataclass(frozen=True)
class HistoryKept:
    """A chunk of the history of a run, up to the same deltas."""

    history: History


def account_kept(source: str, account: Account) -> AccountKept:
    """A worker's account, as it is stored."""
    return AccountKept(
        source,
        account.last,
        account.users,
        account.ended,
        account.reason,
        account.unknown,
        account.given_up,
        account.missing,
        account.hits,
        account.tests,
        account.totals,
    )


def history_in(parts: Mapping[str, bytes]) -> History:
    """The history that the parts of a run hold.

    Raises :class:`RemoteProtocolError` when a part is damaged.
    """
    whole = History()
    for name, body in parts.items():
        if name.startswith(HISTORY):
            whole.merge(unpack(HistoryKept, body).history)
    return whole
