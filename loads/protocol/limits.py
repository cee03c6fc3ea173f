"""What the values in messages may be.

Each check raises ``ValueError``.
"""

from __future__ import annotations

from loads.metrics.series import KINDS
from loads.metrics.summary import RunChanges, RunView
from loads.metrics.tally import COUNTS, Tally
from loads.plan import RunPlan

MAX_ID = 200
MAX_TEXT = 20_000
MAX_HOST = 255  #: characters of a host's name, as in the DNS (RFC 1035, section 2.3.4)
MAX_VERSION = 64
MAX_ORPHANED = 86_400.0  #: seconds that an agent may keep up its load without a broker
MAX_BUNDLE = 64 << 20  #: bytes of a packed bundle
MAX_PLAN = 1 << 20  #: bytes of a packed plan
MAX_WORKERS = 1_024  #: workers of one agent
MAX_RECORDED = 1 << 40  #: hits, tests and timings in a report: those of a worker in many days
MAX_SECONDS = 1_000  #: seconds of the timeline in a report: an agent reports several times in one
MAX_OBSERVERS = 20  #: observers of one run
MAX_OPTIONS = 50  #: options of one observer
MAX_ITEMS = 1_000  #: groups of users, variables, requirements and so on of one plan
END_OF_TIME = 253e9  #: seconds since 1970 that a calendar has room for: until the year 9987


def check_ids(*ids: str) -> None:
    """Identifiers, which are never empty."""
    for value in ids:
        if not 0 < len(value) <= MAX_ID:
            raise ValueError(f"an identifier has 1 to {MAX_ID} characters")


def check_seconds(*seconds: float) -> None:
    """Lengths of time, from 0 up and finite."""
    for value in seconds:
        if not 0 <= value < 1e9:
            raise ValueError("seconds are a number from 0 up")


def check_moments(*moments: float) -> None:
    """Points in time, as seconds since the Unix epoch; 0 is none."""
    for value in moments:
        if not 0 <= value < END_OF_TIME:
            raise ValueError("a point in time is one since 1970")


def check_rhythm(heartbeat: float, timeout: float) -> None:
    """What a greeting tells an agent to keep to."""
    check_seconds(heartbeat, timeout)
    if not 0 < heartbeat < timeout:
        raise ValueError("there is more than one heartbeat in a timeout")


def check_workers(workers: tuple[str, ...]) -> None:
    """Names of workers."""
    if not len(set(workers)) == len(workers) <= MAX_WORKERS:
        raise ValueError(f"at most {MAX_WORKERS} workers, which have different names")


def check_number(number: int) -> None:
    """What counts from 1."""
    if number < 1:
        raise ValueError("numbers count from 1")


def check_texts(*texts: str) -> None:
    """Texts for people."""
    for value in texts:
        if len(value) > MAX_TEXT:
            raise ValueError(f"a text has at most {MAX_TEXT} characters")


def check_box(host: str, version: str, orphan_timeout: float) -> None:
    """What an agent says of itself: it is kept, logged and listed."""
    if len(host) > MAX_HOST or len(version) > MAX_VERSION:
        raise ValueError(f"a host has {MAX_HOST} characters at most, a version {MAX_VERSION}")
    if not 0 <= orphan_timeout <= MAX_ORPHANED:
        raise ValueError(f"an agent goes on alone for {MAX_ORPHANED:,.0f} s at most")


def check_counts(*counts: int | None) -> None:
    """Numbers of things; None is one that is not known."""
    for value in counts:
        if value is not None and value < 0:
            raise ValueError("a count is not negative")


def check_totals(*totals: int) -> None:
    """What a worker may have done in all, so that no sum of it runs over."""
    for value in totals:
        if not 0 <= value <= MAX_RECORDED:
            raise ValueError(f"a worker makes at most {MAX_RECORDED:,} hits and tests")


def check_delta(tally: Tally) -> None:
    """What a worker may have done since its last report, so that no sum of it runs over."""
    if tally.recorded > MAX_RECORDED:
        raise ValueError(f"a report records at most {MAX_RECORDED:,} hits, tests and timings")
    if len(tally.timeline.seconds) > MAX_SECONDS:
        raise ValueError(f"a report is about at most {MAX_SECONDS:,} seconds")
    if not tally.kinds.issubset(KINDS) or not tally.counts.keys() <= set(COUNTS):
        raise ValueError("a report has the series and counts that there are")


def check_lasting(plan: RunPlan) -> None:
    """A plan whose end can be computed, and that is of a size to be kept and shown."""
    check_seconds(plan.grace, plan.total_seconds or 0.0)
    named = (*plan.config.items(), *plan.env.items())
    lists = (plan.users, plan.hits, plan.left, plan.paths, plan.python_deps, named)
    if max(map(len, lists)) > MAX_ITEMS:
        raise ValueError(f"a plan has at most {MAX_ITEMS:,} of everything")
    texts = (plan.target, plan.server_url, plan.url_names, plan.test_runner, plan.test_dir)
    check_texts(*texts, *plan.paths, *plan.python_deps, *(text for pair in named for text in pair))


def check_view(view: RunView) -> None:
    """A view that can be shown: consoles compute with all of its numbers."""
    check_lasting(view.plan)
    check_changes(view)


def check_changes(view: RunView | RunChanges) -> None:
    """What can be shown of a run beside its plan."""
    check_ids(view.run_id, *(agent.agent_id for agent in view.agents))
    check_seconds(view.elapsed)
    check_moments(view.started)
    check_counts(view.users)
    if view.queue is not None:
        check_counts(view.queue.place, view.queue.length, view.queue.idle)
    for agent in view.agents:
        check_counts(agent.workers, agent.hits, agent.unknown, agent.cores)


def clipped(text: str) -> str:
    """A text of any length and content, as messages may carry it.

    Characters that have no UTF-8 form, as Python makes of undecodable file names, are spelled out.
    """
    return text.encode(errors="backslashreplace").decode()[:MAX_TEXT]
