"""Pacers: pure functions of what is done and of time."""

from __future__ import annotations

import pytest

from loads.clock import FakeClock
from loads.pacing import Lasting, Pacer, Repeat, pacer_for
from loads.plan import RunPlan


def starts(pacer: Pacer, service_time: float) -> list[float]:
    """When a user whose tests take ``service_time`` seconds starts them."""
    clock, times = FakeClock(), []
    while (wait := pacer.wait(len(times), clock.monotonic())) is not None:
        times.append(clock.advance(wait))
        clock.advance(service_time)
    return times


@pytest.mark.parametrize(
    ("pacer", "service_time", "expected"),
    [
        pytest.param(Repeat(3), 2.0, [0, 2, 4], id="one after the other"),
        pytest.param(Repeat(1), 2.0, [0], id="once"),
        pytest.param(Repeat(0), 2.0, [], id="never"),
        pytest.param(Repeat(2), 1e6, [0, 1e6], id="time does not end a number of times"),
        pytest.param(Lasting(5), 2.0, [0, 2, 4], id="the last one may run beyond the end"),
        pytest.param(Lasting(4), 2.0, [0, 2], id="none starts at the very end"),
        pytest.param(Lasting(1), 9.0, [0], id="a slow test runs once"),
    ],
)
def test_starts_of_a_user(pacer, service_time, expected):
    assert starts(pacer, service_time) == expected


def test_the_number_of_tests_does_not_end_a_duration():
    assert Lasting(5).wait(done=10**9, elapsed=4.9) == 0.0


@pytest.mark.parametrize(
    ("plan", "pacer"),
    [
        pytest.param(RunPlan("t"), Repeat(1), id="once is the default"),
        pytest.param(RunPlan("t", hits=(5,)), Repeat(5), id="hits"),
        pytest.param(RunPlan("t", hits=(5, 10)), Repeat(15), id="a cycle of hits is its sum"),
        pytest.param(RunPlan("t", users=(1, 2), hits=(5,)), Repeat(5), id="of each user and group"),
        pytest.param(RunPlan("t", hits=(), duration=2.5), Lasting(2.5), id="duration"),
    ],
)
def test_pacer_of_a_plan(plan, pacer):
    assert pacer_for(plan) == pacer


def test_the_pacer_of_each_user_makes_the_total_of_the_plan():
    plan = RunPlan("t", users=(2, 3), hits=(4, 1), agents=2)
    users = plan.agents * sum(plan.users)
    assert users * len(starts(pacer_for(plan), 1.0)) == plan.total_tests
