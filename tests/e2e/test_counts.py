"""What the target served is what the summary and the console say, in every mode."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import find_program
from tests.e2e.cluster import SITE, Cluster, Runner, run, site
from tests.e2e.stage import Stage
from tests.e2e.targets import Nginx, Target

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=["ipc", "tcp"])
def cluster(stage: Stage, request: pytest.FixtureRequest) -> Cluster:
    return Cluster(stage, agents=2, tcp=request.param == "tcp")


def test_the_first_example_makes_a_thousand_hits(stage: Stage) -> None:
    """The command that the documentation opens with, against the server that it names."""
    server = stage.start("site", "python", "-m", "examples.server", "--port", 0, cwd=REPOSITORY)
    url = server.says("The site is at ").split()[-1].rstrip("/")
    options = ("-u", 100, "--hits", 10, "--server-url", url)
    result = run(stage, "examples.test_site.TestSite.test_home", *options, cwd=REPOSITORY)
    assert result.code == 0
    with urllib.request.urlopen(f"{url}/count") as answer:
        assert int(answer.read()) == 1_000
    assert result.hits == result.figure("Hits") == result.figure("Success") == 1_000
    assert result.tests == {"success": 1_000, "failures": 0, "errors": 0, "skipped": 0, "cut": 0}
    assert result.summary["counters"] == {"greeted": 1_000}
    assert result.out.splitlines()[0] == "100 users, 10 times each = 1,000 tests in total"
    assert result.out.splitlines()[-1] == "Result: passed"


@pytest.mark.needs("nginx")
def test_nginx_logged_as_many_requests_as_were_reported(stage: Stage) -> None:
    """A count by a server that is not ours, taken down for each request."""
    program = find_program("nginx")
    assert program
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nginx = Nginx(stage, program, port)
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, agents=2)
    nginx.wait()
    result = cluster.run("test_site", "-u", "5:10", "--hits", 40, "--server-url", nginx.url)
    assert result.code == 0
    assert result.hits == nginx.requests() == 2 * 15 * 40


def test_a_cluster_makes_agents_times_users_times_hits_again_and_again(
    cluster: Cluster, target: Target
) -> None:
    """Five runs, one after the other, of 2 agents x 60 users x 20 hits."""
    cluster.stage.write("test_site.py", SITE)
    for _ in range(5):
        before = target.hits
        options = ("-u", "10:20:30", "--hits", 20, "--server-url", target.url)
        result = cluster.run("test_site.TestSite.test_home", *options)
        assert result.code == 0
        served = target.hits - before
        assert served == result.hits == result.figure("Hits") == result.figure("Success") == 2_400
        assert [agent["hits"] for agent in result.summary["agents"]] == [1_200, 1_200]
        assert result.summary["status"] == "finished"
        assert result.warnings == []
    assert "= 2,400 tests in total" in result.out


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_a_cycle_of_hits_is_run_number_after_number(
    stage: Stage, target: Target, agents: int
) -> None:
    stage.write("test_site.py", SITE)
    options = ("test_site", "-u", 4, "--hits", "5:10", "--server-url", target.url)
    result = Cluster(stage).run(*options) if agents else run(stage, *options)
    assert result.code == 0
    assert result.hits == target.hits == 4 * 15


@pytest.mark.parametrize("agents", [0, 2], ids=["here", "on a cluster"])
def test_a_duration_ends_the_run_and_no_hit_is_forgotten(
    stage: Stage, target: Target, agents: int
) -> None:
    stage.write("test_site.py", site("/slow/0.02"))
    options = ("test_site", "-u", 20, "-d", 3, "--server-url", target.url)
    result = Cluster(stage, agents).run(*options) if agents else run(stage, *options)
    assert result.code == 0
    assert result.hits == target.hits == result.tests["success"] > 0
    assert 3 <= result.summary["duration"] < 30
    assert result.tests["cut"] == 0


def test_three_hundred_users_each_with_a_session_of_their_own(stage: Stage, target: Target) -> None:
    """A cookie that the target gave to a user comes back from that user and from nobody else."""
    stage.write("test_site.py", site("/cookie"))
    options = ("-u", 300, "--hits", 3, "--server-url", target.url)
    result = run(stage, "test_site", *options)
    assert result.code == 0
    assert result.hits == target.hits == 900
    assert target.cookies.pop("") == 300
    assert target.cookies == {f"user={number}": 2 for number in range(1, 301)}
    assert target.connections == 300


def test_a_mix_of_tests_adds_up(stage: Stage, target: Target) -> None:
    stage.write(
        "test_mix.py",
        """
        import requests
        from loads.case import TestCase, weight

        class TestShop(TestCase):
            @weight(3)
            def test_look(self):
                self.session.get(self.server_url + "/fast/look")

            def test_buy(self):
                self.session.get(self.server_url + "/fast/buy")
        """,
    )
    result = run(stage, "test_mix", "-u", 5, "--hits", 8, "--server-url", target.url)
    assert result.code == 0
    assert target.counts == {"/fast/look": 30, "/fast/buy": 10}
    assert result.hits == 40


def test_errors_of_the_target_are_hits_too(stage: Stage, target: Target) -> None:
    """A 500 and a connection that is dropped: requests that were made, so hits that count."""
    stage.write(
        "test_bad.py",
        """
        from loads.case import TestCase

        class TestBad(TestCase):
            def test_broken(self):
                self.session.get(self.server_url + "/broken")

            def test_dropped(self):
                self.session.get(self.server_url + "/drop")
        """,
    )
    result = run(stage, "test_bad", "-u", 2, "--hits", 10, "--server-url", target.url)
    assert result.code == 1
    assert target.counts == {"/broken": 10, "/drop": 10}
    assert result.hits == 20
    assert result.summary["hits"]["errors"] == 20
    statuses = {url["name"].rpartition("/")[2]: url["status"] for url in result.summary["urls"]}
    assert statuses == {"broken": {"500": 10}, "drop": {"reset": 10}}
    assert result.tests["success"] == result.tests["errors"] == 10


def test_nothing_is_shown_twice_and_runs_beside_each_other_do_not_mix(
    stage: Stage, target: Target
) -> None:
    """Two runs at a time on one broker, each on an agent of its own."""
    stage.write("test_a.py", site("/fast/a"))
    stage.write("test_b.py", site("/fast/b"))
    cluster = Cluster(stage, agents=2)
    options = ("-u", 5, "--hits", 60, "-a", 1, "--server-url", target.url)
    runners: list[Runner] = [cluster.start(test, *options) for test in ("test_a", "test_b")]
    for runner, path in zip(runners, ("/fast/a", "/fast/b"), strict=True):
        result = runner.wait()
        assert result.code == 0
        assert result.hits == target.counts[path] == 300
        assert [url["name"] for url in result.summary["urls"]] == [target.url + path]
