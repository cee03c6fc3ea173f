"""The times of a run that another broker has kept.

Moments are stored by the time of day, as a monotonic clock ends with its machine.  How long there
was no broker, nobody knows for all that: the clock may have been set meanwhile, forwards or back.
What had been reported of a load is known, and so how much of it is left at most; and agents that
come back need some time to report.
"""

from __future__ import annotations

import math

from loads.broker.book import Book
from loads.broker.state import Run


def set_times(run: Run, book: Book) -> None:
    """Give a run, as it was stored, the times that it has now."""
    _put_right(run, book)
    if run.state == "queued" and run.waits_until:
        run.deadline = run.waits_until
    elif run.state == "preparing":
        run.deadline = book.now + book.settings.prepare_timeout
    elif run.state == "running":
        latest = book.latest_end(run.plan)
        left = latest - run.ledger.total.elapsed
        run.deadline = max(left, min(run.deadline, latest))
    if run.state in ("running", "stopping"):
        run.deadline = max(run.deadline, book.now + book.settings.stop_slack)


def _put_right(run: Run, book: Book) -> None:
    """Move all moments of a run in which more has happened than can have: the clock was set back.

    Patience is counted from the submission, and is never more than it was then.
    """
    set_back = run.started + run.ledger.total.elapsed - book.wall if run.started else 0.0
    if set_back > 0:
        run.put_off(-set_back)
        run.started = max(1.0, run.started - set_back)  # a box may begin with 1970
        run.started_at -= set_back
    if run.patience is None:
        run.waits_until = math.inf
    elif run.patience:
        until = run.submitted + run.patience - book.settings.epoch
        run.waits_until = min(until, book.now + run.patience)
