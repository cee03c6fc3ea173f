"""Plans: what makes sense, what does not, and the exact parts of a load."""

from __future__ import annotations

import json
import time
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.errors import PlanError
from loads.plan import (
    MAX_AGENTS,
    MAX_COMMAND,
    MAX_HITS,
    MAX_PATH,
    MAX_USERS,
    RunPlan,
    Segment,
    parse_cycle,
    parse_duration,
)
from tests.unit.strategies import damaged, quick, run_plans

# -- what a plan may be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        pytest.param({"target": ""}, "no test", id="no target"),
        pytest.param({"target": " \t"}, "no test", id="blank target"),
        pytest.param({"users": ()}, "users", id="no group"),
        pytest.param({"users": (0,)}, "users", id="a group of nobody"),
        pytest.param({"users": (5, -1)}, "users", id="a negative group after a good one"),
        pytest.param({"users": (1.0,)}, "users", id="a fraction of users"),
        pytest.param({"users": (True,)}, "users", id="a truth value is no number of users"),
        pytest.param({"users": ("1",)}, "users", id="text is no number of users"),
        pytest.param({"users": (MAX_USERS + 1,)}, "users", id="too many users"),
        pytest.param({"hits": (0,)}, "hits", id="no hit"),
        pytest.param({"hits": (MAX_HITS + 1,)}, "hits", id="too many hits"),
        pytest.param({"hits": (), "duration": 0.0}, "duration", id="no time"),
        pytest.param({"hits": (), "duration": -1.0}, "duration", id="negative time"),
        pytest.param({"hits": (), "duration": float("nan")}, "duration", id="NaN time"),
        pytest.param({"hits": (), "duration": float("inf")}, "duration", id="without an end"),
        pytest.param({"hits": (2,), "duration": 1.0}, "not both", id="hits and duration"),
        pytest.param({"agents": -1}, "agents", id="negative agents"),
        pytest.param({"agents": MAX_AGENTS + 1}, "agents", id="too many agents"),
        pytest.param({"grace": -0.1}, "grace", id="negative grace"),
        pytest.param({"grace": float("nan")}, "grace", id="NaN grace"),
        pytest.param({"grace": float("inf")}, "grace", id="a run that might never end"),
    ],
)
def test_a_plan_that_makes_no_sense_cannot_be_built(wrong, word):
    with pytest.raises(PlanError) as caught:
        RunPlan(**{"target": "pkg.test", **wrong})
    assert word in caught.value.message


@pytest.mark.parametrize(
    "right",
    [
        pytest.param({"users": (MAX_USERS,)}, id="most users"),
        pytest.param({"hits": (MAX_HITS,)}, id="most hits"),
        pytest.param({"agents": MAX_AGENTS}, id="most agents"),
        pytest.param({"grace": 0.0}, id="no grace"),
        pytest.param({"hits": (), "duration": 0.001}, id="a very short run"),
    ],
)
def test_the_limits_belong_to_what_is_allowed(right):
    RunPlan(**{"target": "pkg.test", **right})


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        pytest.param(
            RunPlan("t"),
            "1 user, 1 time each = 1 test in total",
            id="singular throughout",
        ),
        pytest.param(
            RunPlan("t", users=(10,), hits=(5,)),
            "10 users, 5 times each = 50 tests in total",
            id="plural throughout",
        ),
        pytest.param(
            RunPlan("t", users=(10, 20), hits=(2, 3)),
            "(10+20) users, (2+3) times each = 150 tests in total",
            id="cycles are shown, and multiplied",
        ),
        pytest.param(
            RunPlan("t", users=(1000,), hits=(1000,), agents=2),
            "2 agents x 1,000 users, 1,000 times each = 2,000,000 tests in total",
            id="each agent runs all of it",
        ),
        pytest.param(
            RunPlan("t", agents=1),
            "1 agent x 1 user, 1 time each = 1 test in total",
            id="one agent is not a local run",
        ),
        pytest.param(
            RunPlan("t", users=(10,), hits=(), duration=30),
            "10 users for 30 s",
            id="time has no total",
        ),
        pytest.param(
            RunPlan("t", users=(10, 20), hits=(), duration=0.5, agents=3),
            "3 agents x (10+20) users for 0.5 s each",
            id="each group lasts as long",
        ),
        pytest.param(
            RunPlan("t", hits=(), duration=1_234_567),
            "1 user for 1234567 s",
            id="a soak test's seconds are not rounded",
        ),
    ],
)
def test_a_plan_in_one_line(plan, line):
    assert plan.describe() == line


@quick
@given(run_plans())
def test_totals_are_of_all_agents_groups_and_users(plan):
    if plan.duration is None:
        assert plan.total_seconds is None
        agents = plan.agents or 1  # a local run is one part of one
        assert plan.total_tests == sum(agents * u * h for u in plan.users for h in plan.hits)
        assert f"{plan.total_tests:,} test" in plan.describe()
    else:
        assert plan.total_tests is None
        assert plan.total_seconds == pytest.approx(sum(plan.duration for _ in plan.users))
    assert "\n" not in plan.describe()


# -- as plain data -------------------------------------------------------------------------------


@quick
@given(run_plans())
def test_round_trip(plan):
    assert RunPlan.unpack(plan.pack()) == plan
    assert RunPlan.unpack(json.loads(json.dumps(plan.pack(), allow_nan=False))) == plan


def test_keys_of_a_newer_peer_are_ignored():
    plan = RunPlan("t", users=(3,))
    assert RunPlan.unpack({**plan.pack(), "shape": "sawtooth", "": None}) == plan


def test_keys_that_an_older_peer_lacks_have_defaults():
    assert RunPlan.unpack({"target": "t"}) == RunPlan("t")


def test_settings_of_any_mapping_become_plain_data():
    plan = RunPlan("t", config=MappingProxyType({"key": "value"}))
    assert plan.pack()["config"] == {"key": "value"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="nothing"),
        pytest.param(5, id="a number"),
        pytest.param([], id="an empty list"),
        pytest.param("target", id="a text that contains a key"),
        pytest.param({}, id="no target"),
        pytest.param({"target": None}, id="a target of nothing"),
        pytest.param({"target": 5}, id="a target that is a number"),
        pytest.param({"target": "t", "users": None}, id="no users"),
        pytest.param({"target": "t", "users": 5}, id="users that are no list"),
        pytest.param({"target": "t", "users": "12"}, id="users as digits"),
        pytest.param({"target": "t", "users": [[1]]}, id="users in a list too deep"),
        pytest.param({"target": "t", "duration": "5", "hits": []}, id="a duration as text"),
        pytest.param(
            {"target": "t", "duration": 10**400, "hits": []}, id="a duration beyond float"
        ),
        pytest.param({"target": "t", "agents": "2"}, id="agents as text"),
        pytest.param({"target": "t", "agents": 1.5}, id="one and a half agents"),
        pytest.param({"target": "t", "agents": None}, id="agents of nothing"),
        pytest.param({"target": "t", "grace": "long"}, id="grace as text"),
        pytest.param({"target": "t", "server_url": ["http://host"]}, id="a list of servers"),
        pytest.param({"target": "t", "config": "key"}, id="settings as text"),
        pytest.param({"target": "t", "config": 5}, id="settings as a number"),
        pytest.param({"target": "t", "patching": b""}, id="bytes for yes or no"),
        pytest.param({"target": "t", "resolve_once": 1}, id="a number for yes or no"),
    ],
)
def test_what_is_no_plan_is_refused(data):
    with pytest.raises(PlanError):
        RunPlan.unpack(data)


@quick
@given(damaged(run_plans().map(RunPlan.pack)))
def test_garbage_is_refused_or_a_plan(data):
    try:
        plan = RunPlan.unpack(data)
    except PlanError:
        return
    assert plan.describe()
    assert RunPlan.unpack(json.loads(json.dumps(plan.pack(), allow_nan=False))) == plan


# -- numbers as users write them -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "numbers"),
    [
        pytest.param("users", "10", (10,), id="one number"),
        pytest.param("users", "10:20:30", (10, 20, 30), id="several in turn"),
        pytest.param("hits", "1:1", (1, 1), id="the same again"),
        pytest.param("users", str(MAX_USERS), (MAX_USERS,), id="most users"),
        pytest.param("hits", str(MAX_USERS + 1), (MAX_USERS + 1,), id="more hits than users"),
    ],
)
def test_a_good_cycle(name, text, numbers):
    assert parse_cycle(name, text) == numbers


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("users", "", id="nothing"),
        pytest.param("users", ":", id="only a colon"),
        pytest.param("users", "10:", id="nothing at the end"),
        pytest.param("users", ":10", id="nothing at the start"),
        pytest.param("users", "10::20", id="nothing in the middle"),
        pytest.param("users", "ten", id="a word"),
        pytest.param("users", "1.5", id="a fraction"),
        pytest.param("users", "1e3", id="an exponent"),
        pytest.param("users", "10,20", id="a comma"),
        pytest.param("users", "0x10", id="hexadecimal"),
        pytest.param("users", "0", id="zero"),
        pytest.param("users", "10:0", id="zero after a good one"),
        pytest.param("hits", "-1", id="negative"),
        pytest.param("users", str(MAX_USERS + 1), id="too many users"),
        pytest.param("hits", str(MAX_HITS + 1), id="too many hits"),
        pytest.param("hits", "9" * 5000, id="more digits than Python converts"),
    ],
)
def test_a_bad_cycle(name, text):
    with pytest.raises(PlanError) as caught:
        parse_cycle(name, text)
    assert f"--{name}" in str(caught.value)  # people look for the option that they typed


@quick
@given(st.text() | st.text("0123456789:-+_. "))
def test_any_text_is_a_cycle_or_refused(text):
    try:
        numbers = parse_cycle("users", text)
    except PlanError:
        return
    assert RunPlan("t", users=numbers).users == numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("90", 90.0, id="seconds"),
        pytest.param("90s", 90.0, id="seconds by name"),
        pytest.param("1.5m", 90.0, id="a fraction of minutes"),
        pytest.param("2h", 7200.0, id="hours"),
        pytest.param("250ms", 0.25, id="milliseconds are not minutes"),
        pytest.param("0.5", 0.5, id="half a second"),
        pytest.param(" 30 ", 30.0, id="space around"),
    ],
)
def test_a_good_duration(text, expected):
    assert parse_duration(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("s", id="a unit alone"),
        pytest.param("5d", id="an unknown unit"),
        pytest.param("5 x 2", id="words"),
        pytest.param("-5", id="negative"),
        pytest.param("1e3", id="an exponent"),
        pytest.param("nan", id="not a number"),
        pytest.param("inf", id="infinite"),
        pytest.param("1:30", id="a clock"),
        pytest.param("1h30m", id="two units"),
        pytest.param("5.", id="half a fraction"),
        pytest.param("1,5", id="a decimal comma"),
    ],
)
def test_a_bad_duration(text):
    with pytest.raises(PlanError):
        parse_duration(text)


@quick
@given(st.text() | st.from_regex(r"[0-9.]*(ms|s|m|h)?", fullmatch=True))
def test_any_text_makes_a_plan_that_lasts_or_is_refused(text):
    try:
        RunPlan("t", hits=(), duration=parse_duration(text))
    except PlanError:
        return


@pytest.mark.parametrize(
    "text",
    [pytest.param("0", id="no time"), pytest.param("9" * 400, id="longer than a float can say")],
)
def test_a_duration_that_reads_well_but_cannot_be_run(text):
    with pytest.raises(PlanError):
        RunPlan("t", hits=(), duration=parse_duration(text))


# -- segments ------------------------------------------------------------------------------------


@quick
@given(st.integers(0, 500), st.integers(1, 60))
def test_segments_are_disjoint_and_complete(total, count):
    parts = [Segment(index, count).of(total) for index in range(count)]
    assert [number for part in parts for number in part] == list(range(total))


@quick
@given(st.integers(0, 10**12), st.integers(1, 200))
def test_segments_are_even_and_exact_for_large_totals(total, count):
    sizes = [len(Segment(index, count).of(total)) for index in range(count)]
    assert sum(sizes) == total
    assert max(sizes) - min(sizes) <= 1


def test_a_local_run_with_one_worker_is_all_of_the_load():
    assert Segment().of(7) == range(7)


@pytest.mark.parametrize(
    ("index", "count"),
    [
        pytest.param(0, 0, id="no parts"),
        pytest.param(1, 1, id="after the last"),
        pytest.param(-1, 2, id="before the first"),
        pytest.param(0, -1, id="a negative number of parts"),
    ],
)
def test_a_segment_that_does_not_exist(index, count):
    with pytest.raises(PlanError):
        Segment(index, count)


def test_a_plan_with_neither_hits_nor_a_duration_runs_the_test_once():
    assert RunPlan("t").hits == (1,)
    assert RunPlan("t", duration=5.0).hits == ()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("test_runner", "x " * (1 << 18)),
        ("test_runner", "x" * (MAX_COMMAND + 1)),
        ("test_dir", "/" + "x" * MAX_PATH),
    ],
)
def test_long_texts_are_measured_before_anybody_looks_at_them(field, text):
    """A command of 512 KB took seconds to split, and who asked for that needed no right to."""
    began = time.process_time()
    with pytest.raises(PlanError, match=r"characters\.") as caught:
        RunPlan.unpack({"target": "a.b", field: text})
    assert time.process_time() - began < 0.5
    assert caught.value.hint == "It may have 4,096 at most."


def test_texts_may_be_as_long_as_they_may():
    plan = RunPlan("a.b", test_runner="x" * MAX_COMMAND, test_dir="/" + "x" * (MAX_PATH - 1))
    assert RunPlan.unpack(plan.pack()) == plan


def test_a_directory_is_a_text():
    with pytest.raises(PlanError, match="no plan"):
        RunPlan.unpack({"target": "a.b", "test_dir": ["/"]})
