"""What is left of a plan, and its parts: nothing gets lost or done twice by cutting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.plan import RunPlan
from loads.remainder import after_seconds, after_tests, cut
from tests.unit.strategies import quick

cycles = st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple)
by_hits = st.builds(
    lambda users, hits: RunPlan("shop", users=users, hits=hits, agents=1), cycles, cycles
)
by_duration = st.builds(
    lambda users, seconds: RunPlan("shop", users=users, duration=seconds, agents=1),
    cycles,
    st.floats(0.1, 100),
)


@quick
@given(by_hits, st.integers(0, 10_000))
def test_what_is_done_and_what_is_left_are_the_whole(plan, done):
    rest = after_tests(plan, done)
    assert (rest.total_tests if rest else 0) == max(0, plan.total_tests - done)


@quick
@given(by_hits, st.integers(0, 500), st.integers(0, 500))
def test_what_is_left_has_something_left_itself(plan, first, second):
    rest = after_tests(plan, first)
    assert (after_tests(rest, second) if rest else None) == after_tests(plan, first + second)


@quick
@given(by_hits, st.integers(0, 500), st.integers(1, 7))
def test_parts_are_together_all_of_it(plan, done, most):
    rest = after_tests(plan, done)
    parts = cut(rest, most) if rest else []
    assert len(parts) <= most
    assert sum(part.total_tests for part in parts) == (rest.total_tests if rest else 0)
    for part in parts:
        for group, users in enumerate(part.users):
            tests = [part.tests_of(group, user) for user in range(users)]
            assert sum(tests) == part.tests_in(group) > 0
            assert max(tests) - min(tests) <= 1


@quick
@given(by_duration, st.floats(0, 400), st.integers(1, 7))
def test_users_are_taken_over_for_the_time_that_is_left(plan, elapsed, most):
    rest = after_seconds(plan, elapsed)
    left = max(0.0, plan.total_seconds - elapsed)
    assert (rest.total_seconds if rest else 0.0) == pytest.approx(left, abs=1e-6)
    if rest is None:
        return
    parts = cut(rest, most)
    assert {part.left for part in parts} == {rest.left}
    assert tuple(map(sum, zip(*(part.users for part in parts), strict=True))) == rest.users
    assert plan.users[-len(rest.users) :] == rest.users


def test_a_group_that_was_begun_goes_on_with_those_who_have_something_left():
    plan = RunPlan("shop", users=(4, 10), hits=(5,), agents=3)
    rest = after_tests(plan, 17)
    assert (rest.users, rest.left) == ((3, 10), (3, 50))
    assert rest.total_tests == 53  # of one agent
    assert after_tests(plan, 70) is None


def test_a_group_by_duration_has_less_time_left():
    plan = RunPlan("shop", users=(4, 10), duration=5, agents=2)
    assert after_seconds(plan, 3).left == (2.0, 5.0)
    rest = after_seconds(plan, 7)
    assert (rest.users, rest.left) == ((10,), (3.0,))
    assert [part.users for part in cut(rest, 3)] == [(3,), (3,), (4,)]
    assert after_seconds(plan, 10) is None
