"""Virtual users: whose turn it is among several tests, and what a user has of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from loads.case import Settings
from loads.worker import loader
from loads.worker.cases import CaseRun
from loads.worker.loader import load
from loads.worker.users import Belongings, Mix, User
from loads.worker.verdicts import Outcome
from tests.unit.projects import lay
from tests.unit.strategies import quick
from tests.unit.worker.one_worker import recorder, run

# -- the mix ---------------------------------------------------------------------------------------


def weighing(weights: list[int]) -> list[loader.Test]:
    return [loader.Test(f"test_{i}", weight, None, print) for i, weight in enumerate(weights)]


def choices(weights: list[int], user: int, number: int) -> list[int]:
    """The indices of the tests that a user runs."""
    tests = weighing(weights)
    mix = Mix(tests, user)
    return [tests.index(mix.next()) for _ in range(number)]


all_weights = st.lists(st.integers(1, 12), min_size=1, max_size=6)


@quick
@given(all_weights, st.integers(0, 200), st.integers(0, 100))
def test_each_test_is_chosen_as_often_as_it_weighs(
    weights: list[int], user: int, skipped: int
) -> None:
    """Exactly, over any full round: whoever the user is, and wherever in its run that begins."""
    chosen = choices(weights, user, skipped + sum(weights))[skipped:]
    assert Counter(chosen) == dict(enumerate(weights))


@quick
@given(all_weights)
def test_users_begin_at_different_places_of_the_round(weights: list[int]) -> None:
    """As many users as a round is long run in their first step what one runs in a round."""
    total = sum(weights)
    first = [choices(weights, user, 1)[0] for user in range(total)]
    assert Counter(first) == dict(enumerate(weights))
    assert first == choices(weights, 0, total)


@quick
@given(all_weights, st.integers(0, 50))
def test_a_light_test_is_not_left_to_the_end(weights: list[int], user: int) -> None:
    """Rounds are interleaved: nothing is ever one call or more away from its fair share."""
    total = sum(weights)
    seen: Counter[int] = Counter()
    for number, index in enumerate(choices(weights, 0, 2 * total), start=1):
        seen[index] += 1
        for other, weight in enumerate(weights):
            assert abs(seen[other] - number * weight / total) < len(weights)


def test_equal_tests_take_turns() -> None:
    assert choices([1, 1, 1], 0, 7) == [0, 1, 2, 0, 1, 2, 0]
    assert choices([1, 1, 1], 1, 4) == [1, 2, 0, 1]


def test_heavy_tests_come_between_light_ones() -> None:
    assert choices([3, 1, 1], 0, 5) == [0, 1, 0, 2, 0]


# -- belongings ------------------------------------------------------------------------------------

OWN = """
    import itertools, unittest
    from loads import TestCase

    class TestCart(TestCase):
        made = itertools.count()
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.number = next(self.made)
            self.calls = []
        def test_one(self): self.calls.append(self._testMethodName)
        def test_two(self): self.calls.append(self._testMethodName)
        def also(self): self.calls.append(self._testMethodName)

    class TestOther(TestCart): ...

    class TestPlain:
        made = itertools.count()
        def __init__(self): self.number = next(self.made)
        def test_one(self): ...
        def test_two(self): ...

    def test_session(session): ...
    def test_app(app): ...
    def test_all(session, app, server_url): ...
"""


@pytest.fixture
def tests(root: Path) -> dict[str, loader.Test]:
    """Those of the module above, by their short names."""
    name = f"own_{root.name}".replace("-", "_")
    lay(root, {f"{name}.py": OWN})
    found = {test.name.removeprefix(f"{name}."): test for test in load(name, str(root))}
    return found | {"also": load(f"{name}.TestCart.also", str(root))[0]}


@pytest.mark.parametrize(
    "names",
    [
        ("TestCart.test_one", "TestCart.test_two", "also"),
        ("TestPlain.test_one", "TestPlain.test_two"),
    ],
)
def test_a_user_has_one_instance_for_all_tests_of_a_class(
    tests: dict[str, loader.Test], names: tuple[str, ...]
) -> None:
    """So that what one test leaves behind, such as a login, the next one finds."""
    one, two = Belongings(), Belongings()
    numbers = [one.instance(tests[name]).number for name in (*names, *names)]
    assert len(set(numbers)) == 1
    assert two.instance(tests[names[0]]).number != numbers[0]


def test_an_instance_is_of_the_class_that_was_named(tests: dict[str, loader.Test]) -> None:
    own = Belongings()
    base = own.instance(tests["TestCart.test_one"])
    other = own.instance(tests["TestOther.test_one"])
    assert (type(base).__name__, type(other).__name__) == ("TestCart", "TestOther")


def test_an_instance_runs_the_test_whose_turn_it_is(tests: dict[str, loader.Test]) -> None:
    """It is unittest's, which knows by a name of its own which method that is."""
    own = Belongings()
    for name in ("TestCart.test_two", "also", "TestCart.test_one", "TestCart.test_two"):
        instance = own.instance(tests[name])
        CaseRun(instance, tests[name]).run(Outcome(""))
        assert instance.id() == tests[name].name
    assert instance.calls == ["test_two", "also", "test_one", "test_two"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(Settings, "server_url", "http://site:9000/base")
    return Settings.server_url


def test_what_functions_ask_for_is_the_users_own(
    tests: dict[str, loader.Test], server: str
) -> None:
    """One session and one app for all of a user's functions, and others for another user."""
    one, two = Belongings(), Belongings()
    (session,) = one.arguments(tests["test_session"]).values()
    (app,) = one.arguments(tests["test_app"]).values()
    assert isinstance(session, requests.Session)
    assert app.server_url == server
    assert list(one.arguments(tests["test_all"]).values()) == [session, app, server]
    assert two.arguments(tests["test_session"]) != {"session": session}


def test_what_is_not_asked_for_is_not_made(tests: dict[str, loader.Test]) -> None:
    """Without a server there is no app, which is no trouble for who wants a session only."""
    own = Belongings()
    assert own.arguments(tests["test_session"])
    assert own.arguments(tests["TestCart.test_one"]) == {}


def test_who_leaves_closes_all_sessions(
    tests: dict[str, loader.Test], server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its connections stay open until somebody collects them, and the next group comes."""
    closed: list[requests.Session] = []

    def close(session: requests.Session) -> None:
        closed.append(session)

    monkeypatch.setattr(requests.Session, "close", close)
    own = Belongings()
    instance = own.instance(tests["TestCart.test_one"])
    expected = [instance.session, instance.app.session]
    session, app, _ = own.arguments(tests["test_all"]).values()
    expected += [session, app.session]
    own.close()
    assert sorted(map(id, closed)) == sorted(map(id, expected))


def test_who_has_nothing_leaves_without_a_word(tests: dict[str, loader.Test]) -> None:
    own = Belongings()
    own.instance(tests["TestPlain.test_one"])
    own.instance(tests["TestCart.test_one"])
    own.close()


# -- one call --------------------------------------------------------------------------------------


def test_each_call_is_recorded_under_its_own_name(root: Path) -> None:
    recording = run(
        root,
        """
        from loads import TestCase, weight

        class TestMix(TestCase):
            @weight(3)
            def test_often(self): ...
            def test_seldom(self): ...
        """,
        users=5,
        times=8,
    )
    assert recording.verdicts == {
        "TestMix.test_often": {"success": 30},
        "TestMix.test_seldom": {"success": 10},
    }


def test_a_constructor_is_no_part_of_the_tests_time(root: Path) -> None:
    """What a user does before its first test, such as a login, is not what the test measures."""
    lay(
        root,
        {
            "slow_to_make.py": """
            import unittest

            class Test(unittest.TestCase):
                def __init__(self, *args):
                    super().__init__(*args)
                    self.clock.now += 1000
                clock = None
                def test(self): self.clock.now += 2
            """
        },
    )
    tests = load("slow_to_make", str(root))
    clock = _Clock()
    tests[0].owner.clock = clock  # type: ignore[union-attr]
    with recorder() as (writer, reader), pytest.MonkeyPatch.context() as patch:
        patch.setattr("loads.worker.users.monotonic", clock.monotonic)
        user = User(0, tests, str(root), writer)
        user.run_once()
        user.run_once()
        (series,) = reader.read().series.values()
    assert (series.latency.count, series.latency.total) == (2, 4_000_000)


class _Clock:
    """A clock that the test moves."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


def test_a_cut_call_has_no_verdict_but_is_counted(root: Path) -> None:
    lay(root, {"cut_short.py": "import gevent\ndef test():\n    raise gevent.GreenletExit"})
    with recorder() as (writer, reader):
        user = User(0, load("cut_short", str(root)), str(root), writer)
        assert user.run_once().cut
        tally = reader.read()
    assert tally.counts == {"tests_started": 1, "tests_cut": 1}
    assert (tally.series, tally.failures) == ({}, {})


def test_a_user_goes_on_after_whatever_happened(root: Path) -> None:
    lay(
        root,
        {
            "ups_and_downs.py": """
            import itertools
            ends = itertools.cycle([None, ValueError("x"), SystemExit(1), AssertionError("y")])

            def test():
                end = next(ends)
                if end is not None:
                    raise end
            """
        },
    )
    with recorder() as (writer, reader):
        user = User(0, load("ups_and_downs", str(root)), str(root), writer)
        verdicts = [user.run_once().verdict.name for _ in range(8)]
        assert reader.read().counts["tests_started"] == 8
    assert verdicts == ["SUCCESS", "ERROR", "ERROR", "FAILURE"] * 2
