"""A run belongs to the broker: who leaves it can come back, and all see the same of it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.errors import ExitCode
from loads.runners.checkup import Checkup, exit_code_of
from tests.e2e.cluster import SITE, Cluster, Result, Runner, site
from tests.e2e.durations import lasting
from tests.e2e.stage import COMMANDS, Process, Stage
from tests.e2e.targets import Target
from tests.e2e.terminals import Terminal, terminal
from tests.e2e.waiting import until

QUESTION = "Stop the run, or detach from it"


@pytest.fixture(autouse=True)
def tests_of_the_user(stage: Stage) -> None:
    stage.write("test_site.py", SITE)
    stage.write("test_gate.py", site("/gate"))
    stage.write("test_slow.py", site("/slow/0.02"))
    stage.write("test_hang.py", site("/hang"))


def said(stage: Stage, *options: object, code: int = 0) -> Process:
    """What ``loads-runner`` says and is done with."""
    process = stage.start("runner", "loads-runner", *options)
    assert process.wait() == code, process.out + process.err
    assert "Traceback" not in process.err
    return process


def detached(stage: Stage, *options: object) -> str:
    """The id of a run that was submitted and left."""
    return said(stage, *options, "--detach", "--quiet").out.strip()


def attached(stage: Stage, *run: object) -> Runner:
    return Runner(stage, "--attach", *run)


def listed(stage: Stage, what: str) -> list[dict[str, Any]]:
    """The rows of ``--list-runs``, ``--list-runs=N`` or ``--list-agents``."""
    data = json.loads(said(stage, f"--list-{what}", "--output", "json").out)
    rows: list[dict[str, Any]] = data[what.partition("=")[0]]
    return rows


def states(stage: Stage) -> dict[str, str]:
    return {row["run_id"]: row["status"] or row["state"] for row in listed(stage, "runs")}


# -- leaving and coming back ---------------------------------------------------------------------


def test_a_run_that_is_left_at_once_and_followed_later(stage: Stage, target: Target) -> None:
    cluster = Cluster(stage, 2)
    options = ("test_gate", "-u", 3, "--hits", 5, "-a", 2, "--server-url", target.url)
    out = said(stage, *options, "--detach").out.splitlines()
    run_id = re.fullmatch(r"Run (\w+): 2 agents x 3 users, .* = 30 tests in total\.", out[0])
    assert run_id
    assert out[1] == f"Attach to it with:  loads-runner --attach {run_id[1]}"
    until(lambda: target.hits == 6, "all users at the gate")
    follower = attached(stage)  # the only one there is
    follower.process.says("2 agents x 3 users")
    target.open_gate()
    result = follower.wait()
    assert result.code == 0
    assert result.hits == target.hits == result.figure("Hits") == 30
    assert result.summary["run_id"] == run_id[1]
    again = attached(stage, run_id[1][:6]).wait()  # it has ended, and its name is cut short
    assert again.code == 0
    assert again.summary == result.summary
    assert again.out == result.out
    assert cluster.broker.code is None


#: Half of the way is open; the rest is behind a gate.
FAR = """
    from loads.case import TestCase

    class TestFar(TestCase):
        calls = 0

        def test_far(self):
            self.calls += 1
            path = "/slow/0.005" if self.calls <= 50 else "/gate"
            self.session.get(self.server_url + path)
"""


def test_all_see_the_same_who_stay_who_come_late_and_who_come_back(
    stage: Stage, target: Target
) -> None:
    stage.write("test_far.py", FAR)
    cluster = Cluster(stage, 2)
    options = ("-u", 4, "--hits", 100, "--server-url", target.url)
    stayed = cluster.start("test_far", *options)
    until(lambda: target.hits > 20, "some hits")
    came_back = attached(stage)
    came_back.process.says("2 agents x 4 users")
    came_back.process.signal(signal.SIGHUP)
    assert came_back.wait().code == 0
    assert "Detached: run" in came_back.process.out
    until(lambda: target.counts["/gate"] == 8, "all users at the gate")
    late = attached(stage)
    late.process.says("2 agents x 4 users")
    target.open_gate()
    results = [runner.wait() for runner in (stayed, late, attached(stage, run_of(stayed)))]
    assert results[0].hits == target.hits == 800
    assert results[0].code == 0
    for other in results[1:]:
        assert other.summary == results[0].summary
        assert other.code == results[0].code
        assert report_of(other) == report_of(results[0])


def run_of(runner: Runner) -> str:
    return str(runner.wait().summary["run_id"])


def report_of(result: Result) -> str:
    return result.out[result.out.index("Duration:") :]


def test_the_result_of_a_run_that_failed_its_tests_is_the_same_later(
    stage: Stage, target: Target
) -> None:
    stage.write("test_broken.py", site("/broken"))
    Cluster(stage)
    run_id = detached(stage, "test_broken", "-a", 1, "--hits", 3, "--server-url", target.url)
    for _ in range(2):
        result = attached(stage, run_id).wait()
        assert result.code == 1
        assert result.tests["failures"] == result.hits == 3


def test_a_run_that_could_not_be_carried_out_says_so_to_who_attaches(stage: Stage) -> None:
    stage.write("test_odd.py", "import nothing_of_the_kind\n\ndef test():\n    pass\n")
    Cluster(stage)
    run_id = detached(stage, "test_odd", "-a", 1)
    follower = said(stage, "--attach", run_id, code=2)
    assert "nothing_of_the_kind" in follower.err


def test_the_terminal_of_a_run_is_closed(stage: Stage, target: Target) -> None:
    """The run goes on, and is followed from elsewhere, by who has none of its files."""
    cluster = Cluster(stage)
    options = ("test_gate", "-a", 1, "-u", 3, "--hits", 5, "--server-url", target.url)
    with terminal(stage, 80, *options) as shown:
        until(lambda: target.hits == 3 and "3 users" in shown.text, "a live picture")
        shown.hang_up()
        until(lambda: shown.code is not None, "the end of the runner")
    elsewhere = stage.root / "elsewhere"
    elsewhere.mkdir()
    follower = Runner(stage, "--attach", cwd=elsewhere)
    follower.process.says("1 agent x 3 users")
    target.open_gate()
    result = follower.wait()
    assert result.code == 0
    assert result.hits == target.hits == 15
    assert "ended: finished" in cluster.broker.err


def test_nothing_to_attach_to(stage: Stage) -> None:
    Cluster(stage, 0)
    assert "No run goes on." in said(stage, "--attach", code=2).err
    assert "The broker knows no run 3f2a." in said(stage, "--attach", "3f2a", code=2).err


def test_a_choice_of_runs(stage: Stage, target: Target) -> None:
    Cluster(stage, 2)
    options = ("-a", 1, "--server-url", target.url)
    first = detached(stage, "test_gate", *options)
    second = detached(stage, "test_gate", *options, "--hits", 2)
    until(lambda: target.hits == 2, "both runs at the gate")
    refused = said(stage, "--attach", code=2)
    assert "2 runs go on." in refused.err
    assert first in refused.err
    assert second in refused.err
    with terminal(stage, 120, "--attach") as shown:
        until(lambda: "Which one" in shown.text, "the question")
        shown.type(b"\x03")
        assert shown.wait() == 130
    with terminal(stage, 120, "--attach") as shown:
        until(lambda: "Which one" in shown.text, "the question")
        assert f"  1  {first}  running  test_gate" in shown.text
        shown.type(b"2\n")
        until(lambda: "1 user, 2 times each" in shown.text, "the run that was chosen")
        target.open_gate()
        assert shown.wait() == 0
        assert "Hits: 2" in shown.text
    assert target.hits == 3


def test_a_broker_that_is_gone_leaves_what_was_seen_of_the_run(
    stage: Stage, target: Target
) -> None:
    """As the result of a run that was not followed to its end; Ctrl-C does not wait for it."""
    cluster = Cluster(stage, 0)
    agent = stage.start("agent", "loads-agent", "--workers", 1, "--orphan-timeout", 5)
    agent.says("Registered with the broker")
    runner = cluster.start("test_slow", "-a", 1, "--hits", 10**6, "--server-url", target.url)
    until(lambda: target.hits > 50, "hits")
    until(lambda: cluster.view(runs_of(stage)[0]).tally.hits > 0, "the broker to know of some")
    cluster.broker.signal(signal.SIGKILL)
    runner.process.says("No word from the broker")
    runner.process.signal(signal.SIGINT)
    result = runner.wait()
    assert result.code == result.summary["exit_code"] == 5
    assert result.summary["status"] == "incomplete"
    assert 0 < result.hits <= target.hits
    assert [one["unknown"] for one in result.summary["agents"]] == [None]
    assert "is followed no longer" in result.warnings[-1]
    assert "Result: incomplete: the run was not followed to its end" in result.out
    assert "is followed no longer" in result.err
    assert "Traceback" not in result.err
    agent.says("The load is stopped: orphaned, no word from the broker")
    for path in stage.runtime.iterdir():
        path.unlink()
    stage.runtime.rmdir()


def runs_of(stage: Stage) -> list[str]:
    return [row["run_id"] for row in listed(stage, "runs")]


# -- Ctrl-C on a terminal ------------------------------------------------------------------------


def asked(stage: Stage, target: Target, shown: Terminal) -> None:
    """Press Ctrl-C once all users are under way, and see the question."""
    until(lambda: target.hits == 3 and "3 users" in shown.text, "all users under way")
    shown.type(b"\x03")
    until(lambda: QUESTION in shown.text, "the question")


def test_ctrl_c_and_detach(stage: Stage, target: Target) -> None:
    Cluster(stage)
    options = ("test_gate", "-a", 1, "-u", 3, "--hits", 5, "--server-url", target.url)
    with terminal(stage, 100, *options) as shown:
        asked(stage, target, shown)
        shown.type(b"x")  # is no answer
        shown.type(b"d")
        assert shown.wait() == 0
        assert "Attach to it with:  loads-runner --attach" in shown.text
    target.open_gate()
    (run_id,) = states(stage)
    result = attached(stage, run_id).wait()
    assert result.code == 0
    assert result.hits == target.hits == 15


@pytest.mark.parametrize("key", [b"s", b"\n", b"\x03"], ids=["s", "Enter", "Ctrl-C"])
def test_ctrl_c_and_stop(stage: Stage, target: Target, key: bytes) -> None:
    Cluster(stage)
    options = ("test_gate", "-a", 1, "-u", 3, "--hits", 5, "--server-url", target.url)
    with terminal(stage, 100, *options) as shown:
        asked(stage, target, shown)
        shown.type(key)
        until(lambda: "Press Ctrl-C again to stop at once." in shown.text, "the notice")
        shown.type(b"\x03")
        assert shown.wait() == 130
        assert shown.text.splitlines()[-1].startswith("Result: stopped")
        assert "Traceback" not in shown.text
    assert set(states(stage).values()) == {"stopped"}


def test_the_terminal_is_as_it_was_after_the_question(stage: Stage, target: Target) -> None:
    """It echoes again: an answer of one key has it changed for a while."""
    Cluster(stage)
    runner = f"{COMMANDS}/loads-runner test_gate -a 1 -u 3 --server-url {target.url}"
    script = f"stty -a >before; {runner}; stty -a >after"
    shown = Terminal(stage, 100, ["bash", "-c", script])
    try:
        until(lambda: target.hits == 3 and "3 users" in shown.text, "all users under way")
        shown.type(b"\x03")
        until(lambda: QUESTION in shown.text, "the question")
        shown.type(b"d")
        shown.wait()
    finally:
        shown.close()
    before, after = (Path(stage.project / name).read_text() for name in ("before", "after"))
    assert after == before
    target.open_gate()


def test_the_terminal_is_closed_while_it_is_asked(stage: Stage, target: Target) -> None:
    """That is no answer, and so nothing is stopped."""
    Cluster(stage)
    options = ("test_gate", "-a", 1, "-u", 3, "--hits", 5, "--server-url", target.url)
    with terminal(stage, 100, *options) as shown:
        asked(stage, target, shown)
        shown.hang_up()
        until(lambda: shown.code is not None, "the end of the runner")
    assert list(states(stage).values()) == ["running"]
    follower = attached(stage)
    follower.process.says("1 agent x 3 users")
    target.open_gate()
    result = follower.wait()
    assert result.code == 0
    assert result.hits == target.hits == 15


# -- lists, stop and purge -----------------------------------------------------------------------


def test_what_runs_where(stage: Stage, target: Target) -> None:
    Cluster(stage, 2)
    run_id = detached(
        stage, "test_gate", "-a", 1, "-u", 2, "--user-id", "alice", "--server-url", target.url
    )
    until(lambda: target.hits == 2, "the users at the gate")
    (row,) = listed(stage, "runs")
    assert (row["run_id"], row["target"], row["state"]) == (run_id, "test_gate", "running")
    assert (row["agents"], row["user_id"], row["status"]) == (1, "alice", "")
    agents = listed(stage, "agents")
    assert sorted((agent["state"], agent["run_id"]) for agent in agents) == [
        ("idle", ""),
        ("running", run_id),
    ]
    for agent in agents:
        assert agent["cores"] > 0
        assert agent["workers"] == 1
        assert agent["protocol"] == 1
    until(
        lambda: all(agent["load"] is not None for agent in listed(stage, "agents")), "their loads"
    )
    table = said(stage, "--list-runs").out.splitlines()
    titles = ["Run", "State", "Test", "Agents", "Users", "Hits", "Submitted", "Duration", "By"]
    assert table[0].split() == titles
    assert table[1].split()[:3] == [run_id, "running", "test_gate"]
    assert said(stage, "--list-agents").out.splitlines()[0].split()[:4] == [
        "Agent", "Host", "State", "Run",
    ]  # fmt: skip
    target.open_gate()
    until(lambda: states(stage) == {run_id: "finished"}, "the end of the run")


def test_lists_of_an_empty_broker(stage: Stage) -> None:
    Cluster(stage, 0)
    assert said(stage, "--list-runs").out == "The broker has no runs.\n"
    assert said(stage, "--list-agents").out == "The broker has no agents.\n"


def test_one_run_is_stopped_and_the_one_beside_it_is_exact(stage: Stage, target: Target) -> None:
    """Two runs at once, on agents of their own."""
    cluster = Cluster(stage, 2)
    beside = cluster.start("test_gate", "-a", 1, "--hits", 20, "--server-url", target.url)
    until(lambda: target.counts["/gate"] == 1, "the first run")
    hanging = detached(stage, "test_hang", "-a", 1, "--server-url", target.url)
    until(lambda: target.counts["/hang"] == 1, "the second run")
    assert "is being stopped" in said(stage, "--stop", hanging[:8], "--grace", 0).out
    stopped = attached(stage, hanging).wait()
    assert stopped.code == 130
    assert stopped.summary["status"] == "stopped"
    assert "has ended: stopped" in said(stage, "--stop", hanging).out
    target.open_gate()
    result = beside.wait()
    assert result.code == 0
    assert result.hits == target.counts["/gate"] == 20


@pytest.mark.parametrize(
    "command", [("loads-runner", "--purge-broker"), ("loads-broker", "--purge")]
)
def test_a_purge_stops_all(stage: Stage, target: Target, command: tuple[str, str]) -> None:
    cluster = Cluster(stage)
    follower = cluster.start("test_hang", "-u", 2, "--server-url", target.url)
    until(lambda: target.hits == 2, "all users to hang")
    waiting = detached(stage, "test_site", "-a", 1, "--wait-for-agents", "--server-url", target.url)
    process = stage.start("purge", *command)
    assert process.wait() == 0
    assert process.out.startswith("2 runs stopped: ")
    assert waiting in process.out
    assert follower.wait().code == 130
    assert set(states(stage).values()) == {"stopped"}
    assert target.counts["/"] == 0
    assert cluster.run("test_site", "--server-url", target.url).code == 0


# -- the check of a cluster ----------------------------------------------------------------------


def test_a_healthy_cluster(stage: Stage, target: Target) -> None:
    """Agents at work are left alone, and the run beside the check is exact."""
    cluster = Cluster(stage, 3, workers=2)
    beside = cluster.start("test_gate", "-a", 1, "-u", 2, "--hits", 10, "--server-url", target.url)
    until(lambda: target.hits == 2, "the run")
    checked = said(stage, "--check-cluster", "--output", "json")
    agents = json.loads(checked.out)["agents"]
    assert sorted(str(agent["ok"]) for agent in agents) == ["None", "True", "True"]
    (busy,) = (agent for agent in agents if agent["ok"] is None)
    assert busy["reason"] == f"busy with run {next(iter(states(stage)))}"
    target.open_gate()
    result = beside.wait()
    assert result.code == 0
    assert result.hits == target.hits == 20
    table = said(stage, "--health-check").out.splitlines()
    assert table[0].split() == ["Agent", "Host", "Result", "Time"]
    assert [line.split()[2] for line in table[1:]] == ["ok"] * 3


def test_a_cluster_with_a_sick_agent(stage: Stage) -> None:
    """Its workers cannot even start."""
    Cluster(stage)
    broken = stage.write("broken/gevent/__init__.py", "raise ImportError('gevent is broken')\n")
    env = {"PYTHONPATH": str(broken.parent.parent)}
    sick = stage.start("agent", "loads-agent", "--workers", 1, env=env)
    sick.says("Registered with the broker")
    checked = said(stage, "--check-cluster", code=4)
    results = [line.split()[2] for line in checked.out.splitlines()[1:]]
    assert sorted(results) == ["failed", "ok"]
    assert "exited with status 1 before the test was loaded" in checked.out


def test_an_agent_that_does_not_answer(stage: Stage) -> None:
    cluster = Cluster(stage, 2)
    cluster.agents[0].signal(signal.SIGSTOP)
    clock = SystemClock()
    with BrokerClient(cluster.frontend, clock) as client:
        checked = Checkup(client, clock, patience=8.0).run()
    cluster.agents[0].signal(signal.SIGCONT)
    assert sorted((health.ok, health.reason) for health in checked) == [
        (False, "no result after 8 s"),
        (True, ""),
    ]
    assert exit_code_of(checked) is ExitCode.INCOMPLETE


def test_a_cluster_without_agents(stage: Stage) -> None:
    Cluster(stage, 0)
    assert "The broker has no agents." in said(stage, "--check-cluster", code=6).err


# -- the queue -----------------------------------------------------------------------------------


def test_runs_that_wait_start_in_their_order_and_each_is_exact(
    stage: Stage, target: Target
) -> None:
    """Runs of one and of two agents on two agents; the target sees them one after the other."""
    number = lasting(10, 50)
    cluster = Cluster(stage, 2)
    first = cluster.start("test_gate", "--server-url", target.url)
    until(lambda: target.hits == 2, "a run that keeps all agents")
    sizes = [1 + (i % 3 == 0) for i in range(number)]
    runs = []
    for i, agents in enumerate(sizes):
        stage.write(f"test_q{i}.py", site(f"/fast/{i}"))
        options = ("-u", 2, "--hits", 5, "--server-url", target.url, "--wait-for-agents")
        runs.append(detached(stage, f"test_q{i}", "-a", agents, *options))
    places = {row["run_id"]: row["place"] for row in listed(stage, "runs") if row["place"]}
    assert places == {run_id: place for place, run_id in enumerate(runs, 1)}
    target.open_gate()
    assert first.wait().code == 0
    for i, (run_id, agents) in enumerate(zip(runs, sizes, strict=True)):
        result = attached(stage, run_id).wait()
        assert result.code == 0
        assert result.hits == target.counts[f"/fast/{i}"] == agents * 2 * 5
    log = cluster.broker.err
    begun = [log.index(f"Run {run_id}: test_q") for run_id in runs]
    assert begun == sorted(begun)
    latest = [row["run_id"] for row in listed(stage, "runs=3")]
    assert len(latest) == 3
    assert runs[-1] in latest
    assert "is not a number" in said(stage, "--list-runs", "many", code=2).err


def test_a_run_that_waits_says_where_it_is(stage: Stage, target: Target) -> None:
    cluster = Cluster(stage)
    first = cluster.start("test_gate", "--server-url", target.url)
    until(lambda: target.hits == 1, "a run that keeps the agent")
    second = cluster.start("test_site", "--wait-for-agents", "--server-url", target.url)
    second.process.says("Waiting for agents: 1st of 1 in the queue; needs 1 agent, 0 idle.")
    third = cluster.start("test_site", "--wait-for-agents=50", "--server-url", target.url)
    third.process.says("Waiting for agents: 2nd of 2 in the queue; needs 1 agent, 0 idle.")
    second.process.signal(signal.SIGINT)
    stopped = second.wait()
    assert stopped.code == 130
    assert stopped.hits == 0
    third.process.says("Waiting for agents: 1st of 1 in the queue; needs 1 agent, 0 idle.")
    target.open_gate()
    assert first.wait().code == 0
    result = third.wait()
    assert result.code == 0
    assert result.hits == target.counts["/"] == 1


def test_patience_that_is_too_short(stage: Stage, target: Target) -> None:
    cluster = Cluster(stage)
    result = cluster.run("test_site", "-a", 2, "--wait-for-agents", 1, "--server-url", target.url)
    assert result.code == 6
    assert "the run needs 2, and 1 is idle." in result.err
    assert target.hits == 0


def test_without_patience_nobody_waits_and_nobody_overtakes(stage: Stage, target: Target) -> None:
    cluster = Cluster(stage)
    result = cluster.run("test_site", "-a", 2, "--server-url", target.url)
    assert result.code == 6
    waiting = detached(stage, "test_site", "-a", 2, "--wait-for-agents", "--server-url", target.url)
    result = cluster.run("test_site", "-a", 1, "--server-url", target.url)
    assert result.code == 6
    assert "1 run waits for agents, and nobody overtakes." in result.err
    newcomer = cluster.start_agent()
    newcomer.says("Registered with the broker")
    assert attached(stage, waiting).wait().hits == target.hits == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_run_that_waited_and_loses_an_agent_before_the_start_gets_another(
    stage: Stage, target: Target, number: int
) -> None:
    """The import of the test waits for a file, which is there when another agent is."""
    waiting = f"""
    import os, time

    while not os.path.exists({str(stage.root / "go")!r}):
        time.sleep(0.01)
    """
    stage.write("test_waiting.py", waiting + SITE)
    cluster = Cluster(stage, 2, broker_options=("--agent-timeout", 2))
    runner = cluster.start(
        *("test_waiting", "-u", 2, "--hits", 10, "--wait-for-agents", "--server-url", target.url)
    )
    for agent in cluster.agents:
        until(lambda agent=agent: agent.workers, "workers that load the test")
    gone, left = cluster.agents
    gone.signal(number)
    cluster.broker.says(" waits for agents again. Agent ")
    runner.process.says("Waiting for agents: 1st of 1 in the queue; needs 2 agents, 1 idle.")
    until(lambda: not left.workers, "the end of what was prepared in vain")
    newcomer = cluster.start_agent()
    for agent in (left, newcomer):
        until(lambda agent=agent: agent.workers, "workers that load the test")
    (stage.root / "go").touch()
    result = runner.wait()
    assert result.code == 0
    assert result.is_exact(target)
    assert result.hits == 40
    assert len(result.summary["agents"]) == 2
    assert result.warnings == []


# -- other versions ------------------------------------------------------------------------------

OTHER = """
import sys
import loads.protocol.codec as codec

codec.VERSION = 99
codec.PROTOCOL = b"LOADS/99"

from loads.agent.server import Server
from loads.clock import SystemClock
from loads.cli import {module}

{act}
"""
AGENT = """
from loads.errors import LoadsError
from loads.transport.tokens import Access
try:
    Server(Access(sys.argv[1]), 1, SystemClock(), 30.0).run()
except LoadsError as error:
    sys.exit(f"{error.message} {error.hint}")
"""


def test_an_agent_of_another_version_is_refused_and_both_sides_say_why(stage: Stage) -> None:
    cluster = Cluster(stage, 0)
    stage.write("other.py", OTHER.format(module="agent", act=AGENT))
    old = stage.start("old", "python", "other.py", cluster.backend)
    assert old.wait() == 1
    assert "The versions differ: LOADS/1 was sent, and LOADS/99 is understood." in old.err
    assert "Install the same version of Loads on both sides." in old.err
    assert "Traceback" not in old.err
    cluster.broker.says("An agent is refused. The versions differ: LOADS/99 was sent")
    assert listed(stage, "agents") == []


def test_a_client_of_another_version_is_told(stage: Stage) -> None:
    cluster = Cluster(stage, 0)
    stage.write("other.py", OTHER.format(module="run", act="run.main()"))
    old = stage.start("old", "python", "other.py", "--list-runs")
    assert old.wait() == 5
    assert "The versions differ: LOADS/1 was sent, and LOADS/99 is understood." in old.err
    assert "Traceback" not in old.err
    cluster.broker.says("A client is refused. The versions differ: LOADS/99 was sent")
