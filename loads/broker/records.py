"""Runs as a storage has them, and back.

A run is stored as a head, which says all but its numbers; its ledger, as it was saved last, with
the deltas that came since; and its history.
"""

from __future__ import annotations

from collections.abc import Iterable

from loads.broker import documents as d
from loads.broker.state import Extension, Part, Run
from loads.ledger import Account, Delta, Entry
from loads.metrics.history import CHUNKS
from loads.protocol import messages as m
from loads.protocol.codec import pack, unpack
from loads.storage.base import DropDeltas, Heading, Record, SavePart, SaveRun, StoredRun


def part_kept(part: Part, epoch: float) -> d.PartKept:
    """A part as it is stored.  Most have not changed: all are looked at ten times a second."""
    kept = part.kept
    if kept is not None and not part.extensions and not kept.extensions:
        said = part.state, part.workers, part.handed_over, part.awaited_until, part.key
        if said == (kept.state, kept.workers, kept.handed_over, kept.awaited_until, kept.key):
            return kept
    extensions = tuple(
        d.ExtensionKept(
            e.plan,
            e.since + epoch,
            e.deadline + epoch,
            e.workers,
            e.failed,
            e.refused_by,
            e.passed_on,
        )
        for e in part.extensions
    )
    part.kept = d.PartKept(
        part.agent_id,
        part.host,
        part.state,
        part.workers,
        extensions,
        part.handed_over,
        part.awaited_until + epoch if part.awaited_until else 0.0,
        part.key,
        part.cores,
        part.version,
    )
    return part.kept


def part_of(kept: d.PartKept, epoch: float) -> Part:
    extensions = [
        Extension(
            e.plan,
            e.since - epoch,
            e.deadline - epoch,
            e.workers,
            e.failed,
            e.refused_by,
            e.passed_on,
        )
        for e in kept.extensions
    ]
    return Part(
        kept.agent_id,
        kept.host,
        kept.state,
        kept.workers,
        extensions=extensions,
        handed_over=kept.handed_over,
        awaited_until=kept.awaited_until - epoch if kept.awaited_until else 0.0,
        key=kept.key,
        cores=kept.cores,
        version=kept.version,
    )


def saved(head: d.Head) -> SaveRun:
    ended = head.ended if head.state == "ended" else None
    return SaveRun(head.run_id, head.submitted, ended, pack(head))


def heading_of(head: d.Head) -> Heading:
    """A head as a storage has it."""
    return Heading(**vars(saved(head)))


def whole(run: Run) -> list[Record]:
    """All numbers of a run that goes on, in place of its deltas, also of those to come."""
    run.ledger.take_unsaved()
    return [
        SavePart(run.run_id, d.LEDGER, pack(ledger_of(run, with_numbers=True))),
        *history_of(run, run.history.take_changed()),
        DropDeltas(run.run_id),
    ]


def history_parts(run: Run) -> list[SavePart]:
    """All of a run's history."""
    return history_of(run, range(CHUNKS))


def emptied(run: Run) -> list[Record]:
    """What was kept of the numbers of a run that is to begin again: none."""
    nothing = [SavePart(part.run_id, part.name, b"") for part in history_of(run, range(CHUNKS))]
    return [SavePart(run.run_id, d.LEDGER, b""), *nothing, DropDeltas(run.run_id)]


def history_of(run: Run, chunks: Iterable[int]) -> list[SavePart]:
    """Some chunks of a run's history, where those that are empty now are removed."""
    parts = []
    for number in chunks:
        chunk = run.history.chunk(number)
        body = pack(d.HistoryKept(chunk)) if chunk else b""
        parts.append(SavePart(run.run_id, f"{d.HISTORY}{number:02}", body))
    return parts


def final_parts(run: Run) -> list[SavePart]:
    """All parts of a run that has ended, but of its history only what has changed."""
    return [
        SavePart(run.run_id, d.BUNDLE, b""),
        SavePart(run.run_id, d.LEDGER, pack(ledger_of(run, with_numbers=False))),
        *history_of(run, run.history.take_changed()),
        SavePart(run.run_id, d.RESULT, pack(run.view(run.ledger.total))),
    ]


def ledger_of(run: Run, with_numbers: bool) -> d.LedgerKept:
    return d.LedgerKept(
        tuple(d.account_kept(*entry) for entry in run.ledger.accounts.items()),
        *((run.ledger.total, run.ledger.news) if with_numbers else ()),
    )


def _account(kept: d.AccountKept) -> Account:
    return Account(
        kept.last,
        kept.hits,
        kept.users,
        kept.ended,
        kept.reason,
        kept.unknown,
        kept.given_up,
        kept.missing,
        kept.tests,
        kept.totals,
    )


def fill(run: Run, stored: StoredRun) -> None:
    """Enter the numbers: the ledger as it was saved last, and the deltas since."""
    if d.LEDGER in stored.parts:
        ledger = unpack(d.LedgerKept, stored.parts[d.LEDGER])
        accounts = {kept.source: _account(kept) for kept in ledger.accounts}
        run.ledger.begin_with(accounts, ledger.total)
        run.history.add(ledger.news.elapsed, ledger.news)
    run.history.merge(d.history_in(stored.parts))
    for part in run.parts.values():
        for worker in part.all_workers:
            run.ledger.expect(worker)
    for body in stored.deltas:
        delta = unpack(d.DeltaKept, body)
        if _is_merged(run, delta, body):
            run.history.add(delta.tally.elapsed, delta.tally)
    run.ledger.take_news()  # consoles will ask for all of it
    run.unheard = set(run.ledger.open_sources)


def _is_merged(run: Run, delta: d.DeltaKept, body: bytes) -> bool:
    """Enter a delta, unless the ledger as it was saved has it already."""
    ledger = run.ledger
    if not delta.accounts:
        report = unpack(m.Report, body)
        ledger.skip(report.worker, report.sequence)  # as was done before it was stored
        return ledger.merge(delta_of(report)) is Entry.MERGED
    if not any(_is_news(kept, ledger.expect(kept.source)) for kept in delta.accounts):
        return False
    ledger.begin_with({kept.source: _account(kept) for kept in delta.accounts}, delta.tally)
    return True


def _is_news(kept: d.AccountKept, known: Account) -> bool:
    """Whether a stored account is later than one that is known."""
    return kept.last > known.last or (kept.totals is not None and known.totals is None)


def delta_of(report: m.Report) -> Delta:
    """A report as the ledger takes it."""
    return Delta(
        report.worker,
        report.sequence,
        report.tally,
        report.users,
        report.ended,
        report.reason,
        report.unknown,
    )
