"""What users of Loads 1 wrote runs as it is, but for the syntax of Python 3."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Result, Runner, run
from tests.e2e.sockets import SocketServer
from tests.e2e.stage import Stage
from tests.e2e.targets import Target, serving
from tests.e2e.waiting import until

PROJECTS = Path(__file__).parent / "projects"
USERS = 6
TIMES = 8  # twice each of the four tests


class Outcome:
    """A run of the project, and what its servers have counted."""

    def __init__(self, result: Result, target: Target, sockets: SocketServer, agents: int) -> None:
        self.result = result
        self.target = target
        self.sockets = sockets
        self.agents = agents
        self.calls = agents * USERS * TIMES // 4  #: of each test


@pytest.fixture(scope="module")
def servers(shared_stage: Stage) -> Iterator[tuple[Target, SocketServer]]:
    shutil.copytree(PROJECTS / "v1", shared_stage.project / "v1")
    with serving() as target:
        yield target, SocketServer(shared_stage)


@pytest.fixture(scope="module")
def cluster(shared_stage: Stage) -> Cluster:
    """Its agents have been started before anybody set a variable."""
    return Cluster(shared_stage, agents=2)


@pytest.fixture(scope="module", params=["here", "on a cluster"])
def outcome(
    shared_stage: Stage,
    cluster: Cluster,
    servers: tuple[Target, SocketServer],
    request: pytest.FixtureRequest,
) -> Outcome:
    """All tests of the class, with variables of both kinds."""
    target, sockets = servers
    target.counts.clear()
    before = sockets.counts
    options = (
        *("v1.loadtest.TestWebSite", "-u", USERS, "--hits", TIMES, "--server-url", target.url),
        *("--env", "SECRET", "--env", "GIVEN=a=b c", "--env", f"SOCKETS={sockets.url}"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", "sesame")
        here = request.param == "here"
        result = run(shared_stage, *options) if here else cluster.run(*options)
    done = Outcome(result, target, sockets, 1 if here else 2)
    opened = before["opened"] + done.calls
    until(lambda: sockets.counts["closed"] == opened, "the end of all web sockets", 10)
    assert sockets.counts["messages"] - before["messages"] == 2 * done.calls
    return done


def test_every_test_passes(outcome: Outcome) -> None:
    """Mixins, names of older Pythons, a patch of its own, web sockets, WebTest, signatures."""
    summary = outcome.result.summary
    assert summary["failures"] == []
    assert outcome.result.tests["success"] == outcome.agents * USERS * TIMES
    assert outcome.result.code == 0
    assert outcome.result.warnings == []


def test_each_hit_counts_also_those_of_constructors(outcome: Outcome) -> None:
    """One instance serves one user, so its constructor runs once for each."""
    calls = outcome.calls
    assert outcome.target.counts == {
        "/cookie": outcome.agents * USERS,
        "/fast/api": calls,
        "/fast/app": calls,
        "/fast/environment": calls,
    }
    hits = {url["name"].rpartition(":")[2].partition("/")[2]: url["hits"] for url in
            outcome.result.summary["urls"]}  # fmt: skip
    assert hits == {path[1:]: number for path, number in outcome.target.counts.items()}
    assert outcome.result.hits == outcome.target.hits


def test_counters_may_have_numbers_for_names(outcome: Outcome) -> None:
    assert outcome.result.summary["counters"] == {"404": outcome.calls, "200": outcome.calls}


def test_web_sockets_are_counted(outcome: Outcome) -> None:
    calls = outcome.calls
    sockets = outcome.result.summary["websockets"]
    assert (sockets["opened"], sockets["closed"]) == (calls, calls)
    assert (sockets["messages_sent"], sockets["messages_received"]) == (2 * calls, 2 * calls)


@pytest.mark.parametrize("name", ["simple", "_hidden"])
def test_a_target_need_not_be_called_test(
    shared_stage: Stage, servers: tuple[Target, SocketServer], name: str
) -> None:
    target, _ = servers
    target.counts.clear()
    options = ("--env", "SECRET=x", "--server-url", target.url, "-u", 3, "--hits", 2)
    result = run(shared_stage, f"v1.loadtest.TestAgain.{name}", *options)
    assert result.code == 0
    path = f"/fast/{name.strip('_')}"
    assert target.counts == {"/cookie": 3, path: 6}


@pytest.mark.parametrize("agents", [0, 2])
def test_cycles_of_users_and_hits(
    shared_stage: Stage, cluster: Cluster, servers: tuple[Target, SocketServer], agents: int
) -> None:
    """Groups follow one another, and each user of each group makes all of the hits."""
    target, _ = servers
    target.counts.clear()
    options = (
        *("v1.loadtest.TestWebSite._hidden", "-u", "10:20", "--hits", "5:10"),
        *("--env", "SECRET=x", "--server-url", target.url),
    )
    result = cluster.run(*options) if agents else run(shared_stage, *options)
    assert result.code == 0
    many = max(agents, 1)
    assert target.counts == {"/cookie": many * 30, "/fast/hidden": many * 30 * 15}
    assert result.tests["success"] == many * 450
    total = f"= {many * 450:,} tests in total"
    where = f"{agents} agents x " if agents else ""
    assert result.out.startswith(f"{where}(10+20) users, (5+10) times each {total}\n")


def test_a_variable_that_is_not_set_is_a_mistake(
    shared_stage: Stage, servers: tuple[Target, SocketServer]
) -> None:
    """The test would fail in each of its calls, far away."""
    options = ("v1.loadtest.TestWebSite._hidden", "--env", "NO_SUCH_VARIABLE")
    runner = Runner(shared_stage, *options)
    assert runner.process.wait() == 2
    assert "--env NO_SUCH_VARIABLE: there is no such variable here." in runner.process.err


def test_the_file_of_the_documentation(stage: Stage, tmp_path: Path) -> None:
    """Agents make the directory, put the files there, and run the test in it, all of them at once.

    The run is detached, as the file says; its result is the broker's.
    """
    place = tmp_path / "new" / "tests"
    stage.write("pushtest/words.txt", "apple plum")
    stage.write(
        "example.py",
        """
        import os
        from loads.case import TestCase

        class TestWebSite(TestCase):
            def test_something(self):
                self.assertEqual(os.getcwd(), self.config["test_dir"])
                with open("pushtest/words.txt") as words:
                    self.incr_counter("words", len(words.read().split()))
                with open(self.config["config"]) as file:
                    self.assertIn("pushtest", file.read())
        """,
    )
    stage.write(
        "config.ini",
        f"""
        [loads]
        fqn = example.TestWebSite.test_something
        agents = 2

        include_file = *.py
                    pushtest

        test_dir = {place}
        users = 5
        hits = 2
        detach = True
        """,
    )
    Cluster(stage, agents=2)
    for _ in range(2):  # the second time, all is there already
        left = stage.start("runner", "loads-runner", "--config", "config.ini", "--quiet")
        assert left.wait() == 0, left.err
        result = Runner(stage, "--attach", left.out.strip()).wait()
        assert result.code == 0, result.err
        assert result.summary["counters"] == {"words": 2 * 5 * 2 * 2}
        assert result.tests["success"] == 2 * 5 * 2
        assert (place / "pushtest" / "words.txt").read_text() == "apple plum"
