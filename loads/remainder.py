"""What is left of a plan when whoever ran it is lost, and how that is cut into parts for others.

A remainder is a plan itself, with :attr:`~loads.plan.RunPlan.left`, so it has a remainder, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from loads.plan import RunPlan, Segment


def after_tests(plan: RunPlan, done: int) -> RunPlan | None:
    """What is left of a plan by hits once ``done`` of its tests were run; None, if nothing is.

    Groups are run one after the other, so those that come first are done first.  A group that was
    begun goes on with as many users as have something left to do.
    """
    rows: list[tuple[int, float]] = []
    for group, users in enumerate(plan.users):
        tests = plan.tests_in(group)
        left = tests - min(done, tests)
        done -= tests - left
        if left:
            rows.append((min(users, left), left))
    return _plan_of(plan, rows)


def after_seconds(plan: RunPlan, elapsed: float) -> RunPlan | None:
    """What is left of a plan by duration ``elapsed`` seconds after its start."""
    rows: list[tuple[int, float]] = []
    for group, users in enumerate(plan.users):
        seconds = plan.seconds_of(group) or 0.0
        left = seconds - min(elapsed, seconds)
        elapsed = max(0.0, elapsed - seconds)
        if left > 0:
            rows.append((users, left))
    return _plan_of(plan, rows)


def _plan_of(plan: RunPlan, rows: Iterable[tuple[int, float]]) -> RunPlan | None:
    rows = tuple(rows)
    if not rows:
        return None
    users, left = zip(*rows, strict=True)
    return replace(plan, agents=1, users=users, left=left)


def cut(plan: RunPlan, most: int) -> list[RunPlan]:
    """Cut a plan into at most ``most`` parts that are together all of it.

    There are fewer where there are not that many users.  By duration, the groups of all parts go in
    step, so that each part has some users of every group.
    """
    count = min(most, max(plan.users) if plan.duration is None else min(plan.users))
    parts = (_part(plan, Segment(index, count)) for index in range(count))
    return [part for part in parts if part is not None]


def _part(plan: RunPlan, segment: Segment) -> RunPlan | None:
    rows: list[tuple[int, float]] = []
    for group, size in enumerate(plan.users):
        users, left = segment.of(size), plan.seconds_of(group)
        if left is None:
            left = sum(plan.tests_of(group, user) for user in users)
        if left:
            rows.append((len(users), left))
    return _plan_of(plan, rows)
