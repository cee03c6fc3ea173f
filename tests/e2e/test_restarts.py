"""Brokers that are killed and started again: runs go on, and nothing is lost or counted twice."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.errors import BrokerUnreachable, LoadsError
from loads.metrics.summary import RunView
from loads.plan import RunPlan
from loads.protocol import messages as m
from tests.e2e.cluster import SITE, Cluster, Runner, site
from tests.e2e.durations import lasting
from tests.e2e.stage import Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

USERS = 10


def under_load(target: Target, hits: int = 200) -> None:
    """Wait until the target has served some hits more."""
    until_hits = target.hits + hits
    until(lambda: target.hits >= until_hits, f"{hits} hits more")


def the_run(cluster: Cluster) -> str:
    """The id of the run that the broker has started."""
    return cluster.broker.says(" started on ").split("Run ")[1].split()[0]


def restart(cluster: Cluster, number: int = signal.SIGKILL) -> None:
    """End the broker with a signal, and start another."""
    cluster.broker.signal(number)
    cluster.broker.wait()
    cluster.start_broker()


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


def test_a_run_goes_on_through_three_restarts_of_its_broker(stage: Stage, target: Target) -> None:
    """Killed three times under load: the console ends with the target's count."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 2, workers=2)
    runner = cluster.start(
        "test_site", "-u", USERS, "-d", lasting(12, 30), "--server-url", target.url
    )
    run_id = the_run(cluster)
    for times in (1, 2, 3):
        under_load(target)
        cluster.broker.signal(signal.SIGKILL)
        cluster.broker.wait()
        under_load(target)
        cluster.start_broker()
        cluster.broker.says(f"Run {run_id} goes on, running")
        for agent in cluster.agents:
            agent.says("The broker is back; the run goes on", times)
    result = runner.wait()
    assert result.code == 0
    assert result.summary["status"] == "finished"
    assert result.hits == target.hits
    assert result.tests["success"] == target.hits
    assert result.warnings == []
    assert result.figure("Hits") == target.hits
    assert cluster.view(run_id).tally.hits == target.hits


def test_a_run_whose_end_comes_while_there_is_no_broker_is_exact(
    stage: Stage, target: Target
) -> None:
    """For longer than a run has to end: agents hold all of it, and come back in their time."""
    stage.write("test_slow.py", site("/slow/0.02"))
    cluster = Cluster(stage, 2)
    runner = cluster.start(
        *("test_slow", "-u", USERS, "-d", 2, "--grace", 0, "--server-url", target.url)
    )
    under_load(target, 20)
    cluster.broker.signal(signal.SIGKILL)
    cluster.broker.wait()
    time.sleep(18.5)  # the fault itself
    cluster.start_broker()
    runner.wait().check_nothing_lost(target, most_cut=2 * USERS)


def test_a_broker_that_stores_what_many_workers_report_together_loses_nothing(
    stage: Stage, target: Target
) -> None:
    """From 50 workers on, reports are stored and acknowledged with each update: killed twice."""
    stage.write("test_slow.py", site("/slow/0.1"))
    cluster = Cluster(stage, 2, workers=30)
    runner = cluster.start("test_slow", "-u", 30, "-d", 600, "--server-url", target.url)
    run_id = the_run(cluster)
    for times in (1, 2):
        under_load(target)
        restart(cluster)
        cluster.broker.says(f"Run {run_id} goes on, running")
        for agent in cluster.agents:
            agent.says("The broker is back; the run goes on", times)
    until(lambda: len(cluster.view(run_id).agents) == 2, "the picture of the run")
    assert sum(agent.workers for agent in cluster.view(run_id).agents) == 60
    runner.process.signal(signal.SIGINT)
    result = runner.wait()
    assert result.code == 130
    assert result.warnings == []
    assert result.hits == target.hits == result.tests["success"]
    assert result.figure("Hits") == target.hits
    cluster.broker.says(f"Run {run_id} ended: stopped")
    restart(cluster)
    stored = cluster.view(run_id)
    assert stored.tally.hits == target.hits
    assert sum(agent.hits for agent in stored.agents) == target.hits


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_broker_on_tcp_comes_back_on_its_ports(stage: Stage, target: Target, number: int) -> None:
    """By hits, so that each one that is lost or repeated would change the number of tests."""
    stage.write("test_slow.py", site("/slow/0.02"))
    names = ("--frontend", "--backend", "--publisher")
    at = [f"tcp://127.0.0.1:{port}" for port in free_ports(3)]
    options = tuple(text for pair in zip(names, at, strict=True) for text in pair)
    cluster = Cluster(stage, 0, broker_options=options)
    agent = stage.start("agent", "loads-agent", "--broker", cluster.frontend, "--workers", 1)
    agent.says("Registered with the broker")
    where = ("-a", 1, "--broker", cluster.frontend, "--server-url", target.url)
    runner = Runner(stage, "test_slow", "-u", USERS, "--hits", 200, *where)
    under_load(target, 50)
    restart(cluster, number)
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == USERS * 200


def test_a_broker_that_is_killed_while_agents_prepare(stage: Stage, target: Target) -> None:
    """The import of the test waits for a file, which is there when another broker is."""
    waiting = f"""
    import os, time

    while not os.path.exists({str(stage.root / "go")!r}):
        time.sleep(0.01)
    """
    stage.write("test_site.py", waiting + SITE)
    cluster = Cluster(stage, 2)
    runner = cluster.start("test_site", "-u", 2, "--hits", 10, "--server-url", target.url)
    for agent in cluster.agents:
        until(lambda agent=agent: agent.workers, "workers that load the test")
    restart(cluster)
    cluster.broker.says("goes on, preparing")
    for agent in cluster.agents:
        agent.says("The broker is back")
    (stage.root / "go").touch()
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 40


@pytest.mark.parametrize("asked", ["before", "after"])
def test_a_broker_that_is_killed_while_a_load_is_handed_over(
    stage: Stage, target: Target, asked: str
) -> None:
    """An agent leaves, and the broker dies before or after the other has been asked to take over.

    All that was done is known, and so every test that was planned is done, and none of them twice.
    """
    waiting = f"""
    import os, time

    while os.path.exists({str(stage.root / "wait")!r}):
        time.sleep(0.01)
    """
    stage.write("test_site.py", waiting + site("/slow/0.01"))
    cluster = Cluster(stage, 2)
    runner = cluster.start(
        *("test_site", "-u", USERS, "--hits", 100, "--on-agent-loss", "redistribute"),
        *("--server-url", target.url),
    )
    under_load(target)
    run_id = the_run(cluster)
    (stage.root / "wait").touch()
    leaving, taking = cluster.agents
    if asked == "before":
        taking.signal(signal.SIGSTOP)  # it never reads what this broker asks
    assert leaving.terminate() == 0
    cluster.broker.says(" went to ")
    if asked == "after":
        taking.says("taking over 1 agent x ")
        until(lambda: len(taking.workers) == 2, "the worker that is to take over")
    restart(cluster)
    taking.signal(signal.SIGCONT)
    cluster.broker.says(f"Run {run_id} goes on, running")
    taking.says("The broker is back; the run goes on")
    (stage.root / "wait").unlink()
    result = runner.wait()
    assert result.code == 0
    assert result.summary["status"] == "finished"
    assert result.tests["success"] == 2 * USERS * 100
    assert result.hits == target.hits, "with those that were cut when the agent left"


def test_a_broker_that_is_killed_while_a_run_is_stopped(stage: Stage, target: Target) -> None:
    """Requests wait at a gate when the run is stopped, and pass it when the broker is back."""
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage, 2)
    runner = cluster.start("test_gate", "-u", 3, "--hits", 100, "--server-url", target.url)
    until(lambda: target.hits == 6, "all users to be at the gate")
    run_id = the_run(cluster)
    runner.process.signal(signal.SIGINT)
    until(lambda: cluster.view(run_id).state == "stopping", "the run to be stopping")
    restart(cluster)
    cluster.broker.says("goes on, stopping")
    for agent in cluster.agents:
        agent.says("The broker is back")
    target.open_gate()
    result = runner.wait()
    assert result.code == 130
    assert result.summary["status"] == "stopped"
    assert result.hits == target.hits == 6


def test_runs_that_wait_for_agents_go_on_waiting(stage: Stage, target: Target) -> None:
    """One runs, two wait, the broker is killed: all three end, in order."""
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage)
    options = ("test_gate", "-u", 2, "--hits", 30, "--server-url", target.url)
    first = cluster.start(*options)
    the_run(cluster)
    others = []
    for number in (1, 2):
        others.append(cluster.start(*options, "--wait-for-agents"))
        cluster.broker.says("waits for agents", number)
    restart(cluster)
    cluster.broker.says("goes on, queued", 2)
    target.open_gate()
    results = [runner.wait() for runner in (first, *others)]
    assert [result.code for result in results] == [0, 0, 0]
    assert [result.hits for result in results] == [60, 60, 60]
    assert target.hits == 180
    starts = [result.summary["started"] for result in results]
    assert starts == sorted(starts)


def test_a_plan_that_was_submitted_to_a_broker_that_died_is_run_once(
    stage: Stage, target: Target
) -> None:
    """Submitted to a broker that is stopped, once it goes on, and to the next: one run each."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 0)
    options = ("test_site", "-a", 1, "-u", 2, "--hits", 10, "--wait-for-agents")
    cluster.broker.signal(signal.SIGSTOP)
    runner = Runner(stage, *options, "--server-url", target.url)
    at, clock = cluster.frontend, SystemClock()
    with BrokerClient(at, clock, timeout=0.5) as hasty, BrokerClient(at, clock, 30.0) as client:
        plan = RunPlan("test_site.TestSite.test_home", agents=1)

        def question(number: int) -> m.Request:
            return m.Submit(number, plan, "digest", b"", None, submission="mine")

        for _ in range(3):
            with pytest.raises(BrokerUnreachable):
                hasty.ask(question, m.Accepted)
        cluster.broker.signal(signal.SIGCONT)
        cluster.broker.says("waits for agents", 2)
        known = {row.run_id for row in client.runs()}
        restart(cluster)
        cluster.broker.says("goes on, queued", 2)
        again = client.ask(question, m.Accepted).run_id
        assert again in known
        assert len(known) == 2
        assert {row.run_id for row in client.runs()} == known
        client.stop(again, 0.0)
    cluster.start_agent()
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 20


def test_runs_that_have_ended_are_there_after_a_restart(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    stage.write("test_broken.py", site("/broken"))
    cluster = Cluster(stage)
    views: list[RunView] = []
    for test in ("test_site", "test_broken"):
        cluster.run(test, "-u", 2, "--hits", 5, "--server-url", target.url)
        run_id = cluster.broker.says(" ended: ").split("Run ")[1].split()[0]
        views.append(cluster.view(run_id))
    restart(cluster)
    assert [cluster.view(view.run_id) for view in views] == views
    assert sum(view.tally.hits for view in views) == target.hits
    with BrokerClient(cluster.frontend, SystemClock()) as client:
        assert client.stop(views[0].run_id, 0).view == views[0], "nothing is left to be stopped"
        with pytest.raises(LoadsError, match="knows no run r9"):
            client.get("r9")


def broker_killed_in_a_run(cluster: Cluster, target: Target) -> tuple[Runner, int]:
    """Start a run, and kill its broker once that knows of hits; gives how many, at least."""
    runner = cluster.start("test_site", "-u", USERS, "-d", 600, "--server-url", target.url)
    run_id = the_run(cluster)
    until(lambda: cluster.view(run_id).tally.hits, "hits that the broker knows of")
    known = cluster.view(run_id).tally.hits
    cluster.broker.signal(signal.SIGKILL)
    cluster.broker.wait()
    return runner, known


def test_agents_that_do_not_come_back_are_lost(stage: Stage, target: Target) -> None:
    """Broker and box are killed, and only the broker comes back: the run ends all the same."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, broker_options=("--agent-timeout", 1, "--return-timeout", 2))
    runner, known = broker_killed_in_a_run(cluster, target)
    agent = cluster.agents[0]
    for pid in (*agent.workers, agent.pid):
        os.kill(pid, signal.SIGKILL)
    agent.wait()
    runner.process.says("No word from the broker")
    cluster.start_broker()
    runner.process.says("The broker is back; the run went on")
    result = runner.wait()
    assert result.code == 4
    assert known <= result.hits <= target.hits
    assert result.warnings
    assert all("did not come back" in warning for warning in result.warnings)
    assert [agent["unknown"] for agent in result.summary["agents"]] == [None]
    cluster.start_agent().says("Registered with the broker")  # it removes what that one left


def test_a_broker_that_comes_back_in_time_hears_what_workers_of_a_killed_agent_did(
    stage: Stage, target: Target
) -> None:
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage)
    runner, known = broker_killed_in_a_run(cluster, target)
    cluster.agents[0].signal(signal.SIGKILL)
    cluster.start_broker()
    result = runner.wait()
    assert result.code == 4
    (agent,) = result.summary["agents"]
    assert known <= result.hits <= target.hits <= result.hits + agent["unknown"]
    assert result.hits + agent["unknown"] - USERS <= target.hits
    assert all("was killed with its agent" in warning for warning in result.warnings)
