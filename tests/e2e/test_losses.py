"""Workers, agents and brokers that die: what was recorded is kept, what is missing is named."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.cluster import SITE, Cluster, Result, Runner, site
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

USERS = 10
FOR_EVER = ("-u", USERS, "--hits", 1_000_000)


def total_unknown(result: Result) -> int:
    """The most hits that the summary says it may have missed."""
    bounds: list[int] = [agent["unknown"] for agent in result.summary["agents"]]
    return sum(bounds)


def under_load(target: Target, hits: int = 200) -> None:
    """Wait until the target has served some hits more."""
    until_hits = target.hits + hits
    until(lambda: target.hits >= until_hits, f"{hits} hits more")


def kill_a_worker(process: Process) -> None:
    os.kill(process.workers[0], signal.SIGKILL)


@pytest.mark.parametrize("agents", [0, 2], ids=["here", "on a cluster"])
def test_a_worker_that_is_killed_keeps_what_it_had_recorded(
    stage: Stage, target: Target, agents: int
) -> None:
    """SIGKILL in the middle of a run: nothing is lost but what was on the wire; that is told."""
    stage.write("test_site.py", SITE)
    options = ("test_site", "-u", USERS, "--hits", 150, "--server-url", target.url)
    if agents:
        cluster = Cluster(stage, agents, workers=2)
        runner, victim = cluster.start(*options), cluster.agents[0]
    else:
        runner = Runner(stage, *options, "--workers", 2)
        victim = runner.process
    under_load(target)
    kill_a_worker(victim)
    result = runner.wait()
    assert result.code == 4
    assert result.summary["status"] == "incomplete"
    assert result.hits <= target.hits <= result.hits + total_unknown(result)
    assert total_unknown(result) <= USERS // 2, "no more than one request of each of its users"
    assert result.hits < max(agents, 1) * USERS * 150
    (warning,) = result.warnings
    assert "was killed by SIGKILL" in warning
    assert warning in result.out
    assert "Result: incomplete" in result.out


def test_killing_every_worker_ends_the_run(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    options = ("test_site", *FOR_EVER, "--server-url", target.url)
    runner = Runner(stage, *options, "--workers", 2)
    under_load(target)
    for pid in runner.process.workers:
        os.kill(pid, signal.SIGKILL)
    result = runner.wait()
    assert result.code == 4
    assert result.hits <= target.hits <= result.hits + total_unknown(result)
    assert len(result.warnings) == 2


def test_an_agent_that_is_killed_is_missed_and_leaves_nothing(stage: Stage, target: Target) -> None:
    """Its workers tell what they had done, and end and take its directory along."""
    stage.write("test_a.py", site("/fast/a"))
    cluster = Cluster(
        stage,
        2,
        workers=2,
        broker_options=("--agent-timeout", 2),
        agent_options=("--orphan-timeout", 3),
    )
    options = ("test_a", "-u", USERS, "-d", 6, "--server-url", target.url)
    runner = cluster.start(*options)
    run_id = cluster.broker.says(" started on ").split("Run ")[1].split()[0]

    def known() -> list[int]:
        return [agent.hits for agent in cluster.view(run_id).agents]

    until(lambda: all(known()), "the broker to know of hits by either agent")
    seen = sum(known())
    victim, other = cluster.agents
    workers = victim.workers
    assert len(workers) == 2
    assert list(stage.tmp.glob(f"loads-run-{victim.pid}-*"))
    victim.signal(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the end of workers")
    cluster.broker.says("is lost: it was killed")
    assert not list(stage.tmp.glob(f"loads-run-{victim.pid}-*"))
    result = runner.wait()
    assert result.code == 4
    assert result.summary["status"] == "incomplete"
    assert seen <= result.hits <= target.hits <= result.hits + total_unknown(result)
    agents = {agent["agent_id"]: agent for agent in result.summary["agents"]}
    (lost,) = [name for name in agents if f"-{victim.pid}-" in name]
    (kept,) = [name for name in agents if f"-{other.pid}-" in name]
    assert agents[lost]["state"] == "lost"
    assert result.hits + agents[lost]["unknown"] - USERS <= target.hits
    assert (agents[kept]["state"], agents[kept]["unknown"]) == ("ended", 0)
    assert agents[lost]["hits"] > 0
    assert len(result.warnings) == 2
    assert all(lost in warning and "was killed with" in warning for warning in result.warnings)
    assert f"Lost: agent {lost}" in result.out


def test_an_agent_that_is_asked_to_leave_reports_to_the_end(stage: Stage, target: Target) -> None:
    """SIGTERM in the middle of a run: the load stops, the result is incomplete and exact."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage)
    options = ("test_site", *FOR_EVER, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target)
    assert cluster.agents[0].terminate() == 0
    result = runner.wait()
    assert result.code == 4
    assert result.hits == target.hits
    assert total_unknown(result) == 0
    assert "stopped early: it was asked to" in result.warnings[0]
    assert "Bye" not in cluster.broker.err
    cluster.broker.says("0 remain")


def test_agents_that_leave_together_all_say_so(stage: Stage) -> None:
    """What is said last is delivered, however busy the machine is, before the process ends."""
    cluster = Cluster(stage, 8, broker_options=("--agent-timeout", 60))
    for agent in cluster.agents:
        agent.signal(signal.SIGTERM)
    for agent in cluster.agents:
        assert agent.wait() == 0
    cluster.broker.says("; 0 remain", seconds=30)


def test_the_next_run_finds_the_cluster_unharmed(stage: Stage, target: Target) -> None:
    """After a worker was killed, the same agent does the next run in full."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, workers=2)
    runner = cluster.start("test_site", *FOR_EVER, "--server-url", target.url)
    under_load(target)
    for pid in cluster.agents[0].workers:
        os.kill(pid, signal.SIGKILL)
    assert runner.wait().code == 4
    before = target.hits
    result = cluster.run("test_site", "-u", 10, "--hits", 10, "--server-url", target.url)
    assert result.code == 0
    assert result.hits == target.hits - before == 100


def test_a_broker_that_is_killed_is_missed_by_all(stage: Stage, target: Target) -> None:
    """Its agents stop their load by themselves; the runner says so instead of hanging."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, agents=0, broker_options=("--agent-timeout", 2))
    agent = stage.start("agent", "loads-agent", "--workers", 1, "--orphan-timeout", 2)
    agent.says("Registered with the broker")
    runner = cluster.start("test_site", *FOR_EVER, "-a", 1, "--server-url", target.url)
    under_load(target)
    cluster.broker.signal(signal.SIGKILL)
    agent.says("The load is stopped: orphaned, no word from the broker")
    until(lambda: not agent.workers, "the end of the workers")
    runner.process.says("No word from the broker")
    runner.process.signal(signal.SIGINT)
    result = runner.wait()
    assert result.code == 5
    assert "No broker answers" in result.err
    assert "Traceback" not in result.err
    for name in ("frontend", "backend", "publisher"):
        (stage.runtime / f"{name}.sock").unlink()
        (stage.runtime / f"{name}.sock.lock").unlink()
    stage.runtime.rmdir()


def test_a_broker_that_comes_back_gets_its_agents_back(stage: Stage, target: Target) -> None:
    """A broker is killed and started again on the same endpoints; its agent registers anew."""
    stage.write("test_site.py", SITE)
    options = ("--agent-timeout", 2)
    cluster = Cluster(stage, broker_options=options)
    cluster.broker.signal(signal.SIGKILL)
    cluster.broker.wait()
    second = stage.start("broker", "loads-broker", *options)
    second.says("1 in all")
    result = cluster.run("test_site", "-u", 5, "--hits", 5, "--server-url", target.url)
    assert result.code == 0
    assert result.hits == target.hits == 25


def test_agents_wait_for_their_broker(stage: Stage, target: Target) -> None:
    """Boxes boot in any order; one that waits can still be asked to leave."""
    stage.write("test_site.py", SITE)
    terminated, interrupted, patient = (
        stage.start("agent", "loads-agent", "--workers", 1) for _ in range(3)
    )
    for agent in (terminated, interrupted, patient):
        agent.says("Still trying")
    terminated.signal(signal.SIGTERM)
    interrupted.signal(signal.SIGINT)
    for agent in (terminated, interrupted):
        assert agent.wait() == 0
        assert "Traceback" not in agent.err
    cluster = Cluster(stage, agents=0)
    patient.says("Registered with the broker")
    result = cluster.run("test_site", "-u", 2, "--hits", 5, "-a", 1, "--server-url", target.url)
    assert result.code == 0
    assert result.hits == target.hits == 10


def test_a_broker_that_is_ended_removes_its_sockets(stage: Stage) -> None:
    cluster = Cluster(stage, agents=0)
    assert (stage.runtime / "frontend.sock").is_socket()
    assert cluster.broker.terminate() == 0
    assert not stage.runtime.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_daemons_end_in_peace_when_they_are_asked_to(stage: Stage, number: int) -> None:
    cluster = Cluster(stage, agents=1)
    for daemon in (cluster.agents[0], cluster.broker):
        daemon.signal(number)
        assert daemon.wait() == 0
        assert "Traceback" not in daemon.err
