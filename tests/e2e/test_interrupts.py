"""Ctrl-C, the end of the grace period, and what becomes of tests that are under way."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from loads.protocol import messages as m
from loads.protocol.codec import encode
from tests.e2e.cluster import Cluster, Runner, site
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until
from tests.integration.frontends import frontend

Starter = Callable[..., Runner]
USERS = 4


@pytest.fixture(params=["here", "on a cluster"])
def start(stage: Stage, request: pytest.FixtureRequest) -> Starter:
    """Starts a run here, or on one agent."""
    if request.param == "here":
        return lambda *options: Runner(stage, *options)
    return Cluster(stage).start


def one(process: Process) -> None:
    """As ``kill -INT`` does."""
    process.signal(signal.SIGINT)


def group(process: Process) -> None:
    """As a terminal does."""
    process.signal_group(signal.SIGINT)


@pytest.mark.parametrize("interrupt", [one, group])
def test_the_first_interrupt_lets_running_tests_finish(
    stage: Stage, target: Target, start: Starter, interrupt: Callable[[Process], None]
) -> None:
    """Tests under way are waited for and count; no other is started.

    They take 2 s, for the word to reach every worker meanwhile.
    """
    stage.write("test_slow.py", site("/slow/2"))
    options = ("test_slow", "-u", USERS, "--hits", 1_000, "--server-url", target.url)
    runner = start(*options)
    until(lambda: target.hits == USERS, "all users under way")
    interrupt(runner.process)
    runner.process.says("Press Ctrl-C again to stop at once.")
    result = runner.wait()
    assert result.code == 130
    assert result.hits == target.hits == USERS
    assert result.tests["success"] == result.figure("Success") == USERS
    assert result.tests["cut"] == 0
    assert result.summary["status"] == "stopped"
    assert result.out.splitlines()[-1].startswith("Result: stopped")
    assert "Traceback" not in result.err


@pytest.mark.parametrize("interrupt", [one, group])
def test_the_second_interrupt_ends_the_run_at_once(
    stage: Stage, target: Target, start: Starter, interrupt: Callable[[Process], None]
) -> None:
    """A target that never answers is not waited for: not for the 600 s that it was promised."""
    stage.write("test_hang.py", site("/hang"))
    options = ("-u", USERS, "--hits", 5, "--grace", 600, "--server-url", target.url)
    runner = start("test_hang", *options)
    until(lambda: target.hits == USERS, "all users to hang")
    interrupt(runner.process)
    runner.process.says("Press Ctrl-C again to stop at once.")
    interrupt(runner.process)
    result = runner.wait(20)
    assert result.code == 130
    assert result.tests["success"] == 0
    unknown = sum(agent["unknown"] for agent in result.summary["agents"])
    assert result.hits <= target.hits <= result.hits + unknown
    assert "Traceback" not in result.err


def test_sigterm_is_an_interrupt_too(stage: Stage, target: Target, start: Starter) -> None:
    """A build server that gives up asks politely first."""
    stage.write("test_slow.py", site("/slow/0.1"))
    runner = start("test_slow", "-u", USERS, "-d", 60, "--server-url", target.url)
    until(lambda: target.hits >= USERS, "hits")
    runner.process.signal(signal.SIGTERM)
    result = runner.wait()
    assert result.code == 130
    assert result.hits == target.hits == result.tests["success"]


def test_an_interrupt_while_the_test_is_loaded(stage: Stage, start: Starter) -> None:
    """Nothing has started, so there is nothing to wait for."""
    loading = stage.root / "loading"
    stage.write(
        "test_late.py",
        f"""
        import pathlib, time
        pathlib.Path({str(loading)!r}).touch()
        time.sleep(600)

        def test():
            pass
        """,
    )
    runner = start("test_late")
    until(loading.exists, "the test to be loaded")
    one(runner.process)
    result = runner.wait(20)
    assert result.code == 130
    assert "Traceback" not in result.err + result.out
    assert result.summary["status"] == "stopped"
    assert result.tests["success"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("detach", [(), ("--detach",)], ids=["followed", "detached"])
def test_an_interrupt_while_a_broker_does_not_answer_to_a_submission(
    stage: Stage, detach: tuple[str, ...], number: int
) -> None:
    """It ends at once, and names the run that the broker may have all the same."""
    stage.write("test_site.py", site("/"))
    asked: list[m.Request] = []

    def answer(question: m.Request) -> list[list[bytes]]:
        asked.append(question)
        if not isinstance(question, m.Ping):
            return []
        pong = m.Pong(question.request, "1", "ipc:///b", f"ipc://{stage.root}/p", 1, 1, 0)
        return [encode(pong)]

    with frontend(stage.root, answer) as endpoint:
        options = ("test_site", "-a", 1, *detach, "--broker", endpoint)
        runner = stage.start("runner", "loads-runner", *options)
        until(lambda: asked and isinstance(asked[-1], m.Submit), "the submission")
        runner.signal(number)
        code = runner.wait()
    submit, stop = asked[-2:]
    assert code == 130
    assert isinstance(submit, m.Submit)
    assert isinstance(stop, m.StopRun), "it is asked no third time"
    assert stop.run_id == submit.submission
    where = f"{submit.submission} --broker {endpoint}"
    assert f"See what became of it with:  loads-runner --attach {where}" in runner.err
    assert f"Make sure that it stops with:  loads-runner --stop {where}" in runner.err
    assert "Traceback" not in runner.err


def test_the_cluster_is_free_again_after_an_interrupt(stage: Stage, target: Target) -> None:
    stage.write("test_hang.py", site("/hang"))
    stage.write("test_site.py", site("/"))
    cluster = Cluster(stage)
    runner = cluster.start("test_hang", "-u", USERS, "--grace", 0, "--server-url", target.url)
    until(lambda: target.hits == USERS, "all users to hang")
    one(runner.process)
    assert runner.wait().code == 130
    result = cluster.run("test_site", "-u", 3, "--hits", 3, "--server-url", target.url)
    assert result.code == 0
    assert result.hits == target.counts["/"] == 9


def test_the_end_of_the_grace_period_cuts_tests(
    stage: Stage, target: Target, start: Starter
) -> None:
    """Requests that hang are hits, as the target has them; the tests around them are cut."""
    stage.write("test_hang.py", site("/hang"))
    options = ("-u", USERS, "-d", 1, "--grace", 1, "--server-url", target.url)
    result = start("test_hang", *options).wait()
    assert result.tests == {"success": 0, "failures": 0, "errors": 0, "skipped": 0, "cut": USERS}
    assert result.figure("Cut") == USERS
    assert result.hits == target.hits == USERS
    assert result.summary["urls"][0]["status"] == {"cut": USERS}
    assert result.code == 1, "no test was run to its end"
    assert result.summary["status"] == "finished"


def test_a_group_that_was_cut_does_not_keep_the_next_from_starting(
    stage: Stage, target: Target
) -> None:
    stage.write("test_hang.py", site("/hang"))
    options = ("-u", "2:3", "-d", 0.5, "--grace", 0.5, "--server-url", target.url)
    result = Runner(stage, "test_hang", *options).wait()
    assert result.tests["cut"] == result.hits == target.hits == 2 + 3
