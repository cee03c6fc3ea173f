"""What goes wrong in the middle of a run, each against a target that counts.

The result is exactly what the target counted, or it names the loss with bounds that contain it; and
the exit code tells.  ``docs/faults.rst`` is what these tests prove, in words.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.clocks import shifted
from tests.e2e.cluster import SITE, Cluster, Result, Runner, site
from tests.e2e.durations import lasting
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

USERS = 10
QUICK = ("--agent-timeout", 2)  #: a broker that misses its agents soon
LOYAL = ("--orphan-timeout", 6)  #: agents that keep up their load for longer than that
BRIEF = ("--orphan-timeout", 2)


def quick_cluster(
    stage: Stage, agents: int = 2, patience: tuple[object, ...] = LOYAL, **settings: object
) -> Cluster:
    return Cluster(stage, agents, broker_options=QUICK, agent_options=patience, **settings)


def under_load(target: Target, hits: int = 200) -> None:
    """Wait until the target has served some hits more."""
    wanted = target.hits + hits
    until(lambda: target.hits >= wanted, f"{hits} hits more")


def unknown(result: Result) -> int:
    """The most hits that the result says were made and are not counted; there is such a bound."""
    bounds: list[int] = [agent["unknown"] for agent in result.summary["agents"]]
    return sum(bounds)


def is_bounded(result: Result, target: Target, under_way: int = USERS) -> bool:
    """Whether what the target counted lies between what is known and what may be missing.

    The bounds are no further apart than the requests that were ``under_way`` may make them: one of
    each user of a lost agent.
    """
    most = result.hits + unknown(result)
    return max(result.hits, most - under_way) <= target.hits <= most


def has_one_hit_a_test(result: Result) -> bool:
    """Whether each test has its one hit.

    Some that were begun have none, or one and no end: those under way where something was killed.
    """
    tests = result.summary["tests"]
    return bool(tests["finished"] <= result.hits <= tests["started"])


def most_unknown(result: Result) -> int:
    """The most tests, of one hit each, that the result says were run and are not counted."""
    (most,) = re.findall(r"may have run up to ([\d,]+) tests", "\n".join(result.warnings))
    return int(most.replace(",", ""))


def stop_for(processes: list[Process], seconds: float) -> None:
    """Have processes not run for some time."""
    pause([process.pid for process in processes], seconds)


def pause(pids: list[int], seconds: float) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)  # the fault itself, not a way to wait for something
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


# -- what the loss of an agent means ---------------------------------------------------------------


def test_what_a_killed_agent_had_left_is_done_by_the_other(stage: Stage, target: Target) -> None:
    """By hits: all are done, and none is done twice but those that were under way."""
    stage.write("test_site.py", SITE)
    cluster = quick_cluster(stage, patience=BRIEF)
    runner = cluster.start(
        *("test_site", "-u", USERS, "--hits", 600, "--on-agent-loss", "redistribute"),
        *("--server-url", target.url),
    )
    under_load(target)
    cluster.agents[0].signal(signal.SIGKILL)
    result = runner.wait()
    assert result.code == 4
    planned = 2 * USERS * 600
    assert result.tests["success"] <= planned <= result.tests["success"] + unknown(result)
    assert planned <= target.hits <= planned + USERS
    assert has_one_hit_a_test(result)
    assert is_bounded(result, target)
    assert sorted(agent["state"] for agent in result.summary["agents"]) == ["ended", "lost"]
    assert f"-{cluster.agents[0].pid}-" in result.warnings[0]
    assert " went to " in result.warnings[0]


LENGTHS = {"by hits": ("--hits", 600), "by duration": ("-d", 6)}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("policy", ["continue", "redistribute"])
@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
def test_what_a_killed_agent_did_is_known_but_for_what_was_under_way(
    stage: Stage, target: Target, length: str, policy: str, tcp: bool
) -> None:
    """Its workers tell the broker, at once: nobody waits for an agent that is dead."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 2, workers=2, tcp=tcp, broker_options=("--agent-timeout", 60))
    runner = cluster.start(
        *("test_site", "-u", USERS, *LENGTHS[length], "--on-agent-loss", policy),
        *("--server-url", target.url),
    )
    under_load(target)
    victim = cluster.agents[0]
    victim.signal(signal.SIGKILL)
    result = runner.wait(40)
    assert result.code == 4
    assert is_bounded(result, target)
    states = {agent["agent_id"]: agent["state"] for agent in result.summary["agents"]}
    assert sorted(states.values()) == ["ended", "lost"]
    losses = [text for text in result.warnings if " was killed with its agent: " in text]
    assert len(losses) == 2, "a line for each worker"
    assert all(f"-{victim.pid}-" in loss for loss in losses)


def test_a_box_that_dies_whole_leaves_a_loss_without_a_bound_in_hits(
    stage: Stage, target: Target
) -> None:
    """Nobody is left who could tell; how many tests there can have been is known all the same."""
    stage.write("test_site.py", SITE)
    cluster = quick_cluster(stage, patience=BRIEF)
    options = ("test_site", "-u", USERS, "--hits", 600, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target)
    agent = cluster.agents[0]
    processes = [agent.pid, *agent.workers]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # at one moment, as for who is not run
        for pid in processes:
            os.killpg(pid, number)
    result = runner.wait()
    assert result.code == 4
    assert sorted(str(a["unknown"]) for a in result.summary["agents"]) == ["0", "None"]
    assert result.hits <= target.hits <= result.hits + most_unknown(result)
    assert any("what it did after its last report is not known" in w for w in result.warnings)
    agent.wait()  # or a process of that name is still there
    cluster.start_agent().says("Registered with the broker")  # it removes what that one left


def last_words(stage: Stage) -> list[int]:
    """The processes that workers of dead agents have become."""
    return [pid for pid, line in stage.survivors().items() if "loads.agent.last_words" in line]


def test_last_words_hold_no_secret_that_others_see_and_may_be_lost(
    stage: Stage, target: Target
) -> None:
    """The broker is not there to hear them, and they are killed as well: as without any."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 1, tcp=True, broker_options=QUICK, agent_options=BRIEF)
    options = ("test_site", "-u", USERS, "--hits", 100_000, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target)
    agent = cluster.agents[0]
    (worker,) = agent.workers
    cluster.broker.signal(signal.SIGSTOP)
    agent.signal(signal.SIGKILL)
    until(lambda: last_words(stage) == [worker], "the worker to become its last words")
    served = target.hits
    for name in ("environ", "cmdline"):
        assert b"loads1_" not in Path(f"/proc/{worker}/{name}").read_bytes()
    os.kill(worker, signal.SIGKILL)
    cluster.broker.signal(signal.SIGCONT)
    result = runner.wait()
    assert result.code == 4
    assert [a["unknown"] for a in result.summary["agents"]] == [None]
    assert target.hits <= served + USERS, "what had been sent by then"
    agent.wait()  # or a process of that name is still there
    cluster.start_agent().says("Registered with the broker")  # it removes what that one left


CHILDREN = """
    import subprocess
    from loads.case import TestCase

    class TestSite(TestCase):
        def setUp(self):
            self.child = subprocess.Popen(["sleep", "600"])

        def tearDown(self):
            self.child.kill()
            self.child.wait()

        def test_home(self):
            self.session.get(self.server_url + "/gate")
"""


def test_what_a_test_has_started_ends_when_its_agent_is_killed(
    stage: Stage, target: Target
) -> None:
    stage.write("test_children.py", CHILDREN)
    cluster = Cluster(stage, 1)
    options = ("test_children", "-u", 3, "--hits", 5, "--server-url", target.url)
    runner = cluster.start(*options)
    until(lambda: target.hits == 3, "all users at the gate")
    cluster.agents[0].signal(signal.SIGKILL)
    result = runner.wait()
    assert (result.code, result.hits, unknown(result)) == (4, 0, 3)
    others = {cluster.broker.pid}
    until(lambda: not stage.survivors().keys() - others, "the end of the worker and its children")


def test_what_an_agent_that_leaves_had_left_is_done_by_the_others(
    stage: Stage, target: Target
) -> None:
    """It reports to the end, so that all is known: every test is done, and the exit code is 0."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 3)
    runner = cluster.start(
        *("test_site", "-u", USERS, "--hits", 300, "--on-agent-loss", "redistribute"),
        *("--server-url", target.url),
    )
    under_load(target)
    assert cluster.agents[0].terminate() == 0
    result = runner.wait()
    assert result.summary["status"] == "finished"
    assert result.code == 0
    assert result.tests["success"] == 3 * USERS * 300
    assert result.is_exact(target)


REFUSED_ONCE = """
from pathlib import Path

from loads import TestCase

try:
    Path({full!r}).unlink()
except FileNotFoundError:
    pass
else:
    raise MemoryError("this box is full")


class TestSite(TestCase):
    def test_root(self):
        self.session.get(self.server_url + "/")
"""


def test_a_load_that_an_agent_refuses_goes_to_another(stage: Stage, target: Target) -> None:
    """The agent that cannot begin with what it is to take over goes on with its own."""
    full = stage.root / "full"
    stage.write("test_full.py", REFUSED_ONCE.format(full=str(full)))
    cluster = Cluster(stage, 3)
    runner = cluster.start(
        *("test_full", "-u", USERS, "--hits", 300, "--on-agent-loss", "redistribute"),
        *("--server-url", target.url),
    )
    under_load(target)
    full.touch()  # the next that begins finds it, and removes it
    assert cluster.agents[0].terminate() == 0
    result = runner.wait()
    assert not full.exists()
    assert result.summary["status"] == "finished"
    assert result.code == 0
    assert result.tests["success"] == 3 * USERS * 300
    assert result.is_exact(target)
    (refusal,) = [text for text in result.warnings if "could not take over" in text]
    assert "this box is full" in refusal
    assert "; asked instead was " in refusal


def test_what_a_killed_worker_had_left_is_done_by_the_other_agent(
    stage: Stage, target: Target
) -> None:
    """Its agent lives, and tells all but what was under way; it goes on with its other worker."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 2, workers=2)
    runner = cluster.start(
        *("test_site", "-u", USERS, "--hits", 300, "--on-agent-loss", "redistribute"),
        *("--server-url", target.url),
    )
    under_load(target)
    victim, other = cluster.agents
    os.kill(victim.workers[0], signal.SIGKILL)
    other.says("taking over 1 agent x ")
    result = runner.wait()
    assert result.tests["success"] == 2 * USERS * 300
    assert has_one_hit_a_test(result)
    assert result.hits <= target.hits <= result.hits + unknown(result)
    assert unknown(result) <= USERS // 2, "no more than one request of each of its users"
    assert result.code == (4 if unknown(result) else 0)
    assert any(f"-{victim.pid}-" in w and " went to " in w for w in result.warnings)


def test_users_of_a_lost_agent_are_taken_over_for_the_time_that_is_left(
    stage: Stage, target: Target
) -> None:
    stage.write("test_slow.py", site("/slow/0.05"))
    cluster = quick_cluster(stage, patience=BRIEF)
    runner = cluster.start(
        *("test_slow", "-u", USERS, "-d", 8, "--on-agent-loss", "redistribute"),
        *("--server-url", target.url),
    )
    under_load(target, 20)
    cluster.agents[0].signal(signal.SIGKILL)
    cluster.agents[1].says("taking over 1 agent x 10 users for ")
    result = runner.wait()
    assert result.code == 4
    assert is_bounded(result, target)
    kept = next(a for a in result.summary["agents"] if a["state"] == "ended")
    assert kept["workers"] == 2
    handed = re.search(r"10 users for ([\d.]+) s, went to ", "\n".join(result.warnings))
    assert handed
    assert 0 < float(handed[1]) < 8


def test_a_run_is_stopped_when_an_agent_is_lost_if_the_plan_says_so(
    stage: Stage, target: Target
) -> None:
    stage.write("test_site.py", SITE)
    cluster = quick_cluster(stage, patience=BRIEF)
    runner = cluster.start(
        *("test_site", "-u", USERS, "--hits", 1_000_000, "--on-agent-loss", "abort"),
        *("--server-url", target.url),
    )
    under_load(target)
    cluster.agents[0].signal(signal.SIGKILL)
    result = runner.wait()
    assert result.code == 4
    assert is_bounded(result, target)
    first = result.warnings[0]
    assert first.startswith("The run was stopped, because agent ")
    assert f"Warning: {first[:40]}" in result.out


# -- workers, agents and brokers that are not run for some time ------------------------------------


@pytest.mark.parametrize("agents", [0, 2], ids=["here", "on a cluster"])
def test_a_worker_that_is_stopped_for_a_while_loses_nothing(
    stage: Stage, target: Target, agents: int
) -> None:
    """Its times are not the target's doing, and the result says that."""
    stage.write("test_site.py", SITE)
    options = ("test_site", "-u", USERS, "--hits", 400, "--server-url", target.url)
    if agents:
        cluster = quick_cluster(stage)
        runner = cluster.start(*options)
        victim = cluster.agents[0]
    else:
        runner = Runner(stage, *options, "--workers", 2)
        victim = runner.process
    under_load(target)
    pause(victim.workers[:1], lasting(3, 20))
    result = runner.wait()
    assert result.code == 0
    assert result.tests["success"] == max(agents, 1) * USERS * 400
    assert result.is_exact(target)
    assert any(
        text.startswith("The machine did not run a worker for ")
        for text in result.summary["warnings"]
    )
    assert result.warnings == []


@pytest.mark.parametrize("policy", ["continue", "redistribute"])
def test_an_agent_that_is_stopped_for_longer_than_the_broker_waits_is_exact_when_it_is_back(
    stage: Stage, target: Target, policy: str
) -> None:
    """Its workers go on meanwhile; what they did is reported late, and counted once."""
    stage.write("test_slow.py", site("/slow/0.05"))
    cluster = quick_cluster(stage, patience=("--orphan-timeout", 30))
    runner = cluster.start(
        *("test_slow", "-u", USERS, "--hits", 200, "--on-agent-loss", policy),
        *("--server-url", target.url),
    )
    under_load(target)
    cluster.agents[0].signal(signal.SIGSTOP)
    cluster.broker.says(f"-{cluster.agents[0].pid}-", times=2)
    cluster.broker.says("is lost: silent for")
    time.sleep(lasting(0, 16))  # the fault itself
    cluster.agents[0].signal(signal.SIGCONT)
    result = runner.wait()
    assert result.code == 0
    assert result.is_exact(target)
    done = result.tests["success"]
    assert done == 2 * USERS * 200 if policy == "continue" else done >= 2 * USERS * 200


def test_a_broker_that_is_stopped_for_a_while_takes_nobody_for_dead(
    stage: Stage, target: Target
) -> None:
    stage.write("test_slow.py", site("/slow/0.05"))
    cluster = quick_cluster(stage, patience=("--orphan-timeout", 30))
    options = ("test_slow", "-u", USERS, "--hits", 120, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target)
    stop_for([cluster.broker], lasting(4, 20))
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 2 * USERS * 120
    assert "is lost" not in cluster.broker.err


def test_machines_that_sleep_take_nobody_for_dead(stage: Stage, target: Target) -> None:
    """For longer than an agent bears to be alone: nobody was there to miss the others."""
    stage.write("test_slow.py", site("/slow/0.05"))
    cluster = quick_cluster(stage, patience=BRIEF)
    options = ("test_slow", "-u", USERS, "--hits", 120, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target)
    daemons = [*cluster.agents, cluster.broker]  # which goes on last, when they have looked already
    workers = [pid for agent in cluster.agents for pid in agent.workers]
    assert len(workers) == 2
    pause([*(daemon.pid for daemon in daemons), *workers], lasting(4, 20))
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 2 * USERS * 120
    assert result.warnings == []
    assert all("orphaned" not in agent.err for agent in cluster.agents)


def test_a_console_that_is_stopped_shows_the_right_numbers_when_it_goes_on(
    stage: Stage, target: Target
) -> None:
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 2)
    options = ("test_site", "-u", USERS, "--hits", 300, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target)
    runner.process.signal(signal.SIGSTOP)
    cluster.broker.says("ended: finished")  # while nobody looks
    runner.process.signal(signal.SIGCONT)
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 2 * USERS * 300


MANY_PAGES = """
    from loads.case import TestCase

    class TestPages(TestCase):
        calls = 0

        def test_page(self):
            self.calls += 1
            first, second = divmod(self.calls % 144, 12)
            page = "/fast/page-" + "ghijklmnopqr"[first] + "stuvwxyzghij"[second]
            self.session.get(self.server_url + page)
            self.session.get(self.server_url + "/slow/0.1")
"""
CONSOLES = 10


def resident(process: Process) -> int:
    """The megabytes of memory that a process takes."""
    pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE") >> 20


@contextmanager
def hardly_running(process: Process) -> Iterator[None]:
    """Have a process run for a moment now and then only."""
    over = threading.Event()

    def hold_up() -> None:
        while not over.is_set():
            stop_for([process], 0.9)
            over.wait(0.1)

    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_consoles_that_do_not_keep_up_end_with_the_same_numbers(
    stage: Stage, target: Target
) -> None:
    """Some are stopped for 20 s, one gets hardly any time; the broker's memory stays bounded."""
    stage.write("test_pages.py", MANY_PAGES)
    cluster = Cluster(stage, 2, workers=10)
    options = ("-u", 20, "--hits", 1_000_000, "--server-url", target.url)
    stayed = cluster.start("test_pages", *options)
    run_id = cluster.broker.says(" started on ").split("Run ")[1].split()[0]
    slow, *stopped = (Runner(stage, "--attach", run_id) for _ in range(CONSOLES + 1))
    for console in (slow, *stopped):
        console.process.says("2 agents x 20 users")
    until(lambda: len(target.counts.copy()) == 145, "all pages to be known")
    for console in stopped:
        console.process.signal(signal.SIGSTOP)
    before = resident(cluster.broker)
    with hardly_running(slow.process):
        time.sleep(20)  # the fault itself
    grown = resident(cluster.broker) - before
    for console in stopped:
        console.process.signal(signal.SIGCONT)
    stayed.process.signal(signal.SIGINT)
    result = stayed.wait()
    assert result.code == 130
    assert result.hits == target.hits
    assert len(result.summary["urls"]) == 145
    for console in (slow, *stopped):
        assert console.wait().summary == result.summary
    assert grown < 64, "megabytes; 1,000 updates for each of them were seen to take 22"


@pytest.mark.parametrize(("stopped", "duration", "seconds"), [("agent", 2, 20), ("broker", 6, 22)])
def test_who_is_stopped_across_the_planned_end_loses_nothing(
    stage: Stage, target: Target, stopped: str, duration: int, seconds: float
) -> None:
    """For longer than a run has to end; the workers end in time, and all is reported later."""
    stage.write("test_slow.py", site("/slow/0.02"))
    cluster = Cluster(stage, 2, broker_options=QUICK)
    runner = cluster.start(
        *("test_slow", "-u", USERS, "-d", duration, "--grace", 0, "--server-url", target.url)
    )
    under_load(target, 20)
    stop_for([cluster.broker if stopped == "broker" else cluster.agents[0]], seconds)
    runner.wait().check_nothing_lost(target, most_cut=2 * USERS)


# -- coming and going ------------------------------------------------------------------------------


def test_an_agent_that_is_restarted_in_mid_run_is_there_for_the_next(
    stage: Stage, target: Target
) -> None:
    stage.write("test_site.py", SITE)
    cluster = quick_cluster(stage, patience=BRIEF)
    options = ("test_site", "-u", USERS, "--server-url", target.url)
    runner = cluster.start(*options, "--hits", 300)
    under_load(target)
    cluster.agents[0].signal(signal.SIGKILL)
    new = cluster.start_agent()
    new.says("Registered with the broker")
    result = runner.wait()
    assert result.code == 4
    assert is_bounded(result, target)
    assert not any(f"-{new.pid}-" in agent["agent_id"] for agent in result.summary["agents"])
    before = target.hits
    again = cluster.run(*options, "--hits", 5)
    assert (again.code, again.hits) == (0, 2 * USERS * 5)
    assert target.hits - before == again.hits


def test_an_agent_that_joins_in_mid_run_is_idle_until_the_next(
    stage: Stage, target: Target
) -> None:
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage, 1)
    options = ("test_gate", "-u", 2, "--hits", 5, "--server-url", target.url)
    runner = cluster.start(*options)
    until(lambda: target.hits == 2, "all users at the gate")
    cluster.agents.append(cluster.start_agent())
    cluster.broker.says("2 in all")
    target.open_gate()
    result = runner.wait()
    assert (result.code, result.hits, len(result.summary["agents"])) == (0, 10, 1)
    again = cluster.run(*options)
    assert (again.code, again.hits, len(again.summary["agents"])) == (0, 20, 2)
    assert target.hits == 30


@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
def test_a_second_broker_at_the_same_place_leaves_the_first_unhurt(
    stage: Stage, target: Target, tcp: bool
) -> None:
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage, 1, tcp=tcp)
    options = ("test_gate", "-u", 2, "--hits", 5, "--server-url", target.url)
    runner = cluster.start(*options)
    until(lambda: target.hits == 2, "all users at the gate")
    names = ("frontend", "backend", "publisher")
    taken = [cluster.frontend, cluster.backend, cluster.publisher]
    places = [o for name, at in zip(names, taken, strict=True) for o in (f"--{name}", at)]
    second = stage.start("broker", "loads-broker", *places)
    assert second.wait() == 5
    assert "nother broker" in second.err
    assert "Traceback" not in second.err
    target.open_gate()
    result = runner.wait()
    assert (result.code, result.hits, target.hits) == (0, 10, 10)


def test_a_stopped_run_that_lost_an_agent_names_it(stage: Stage, target: Target) -> None:
    """130, because somebody stopped it; the loss is in its warnings all the same."""
    stage.write("test_site.py", SITE)
    cluster = quick_cluster(stage)
    runner = cluster.start("test_site", "-u", USERS, "-d", 60, "--server-url", target.url)
    under_load(target)
    cluster.agents[0].signal(signal.SIGKILL)
    cluster.broker.says("is lost: it was killed")
    runner.process.signal(signal.SIGINT)
    result = runner.wait()
    assert (result.code, result.summary["status"]) == (130, "stopped")
    assert is_bounded(result, target)
    assert any("was killed with its agent" in text for text in result.warnings)


# -- a headless cluster ----------------------------------------------------------------------------


def test_workers_stop_when_their_agent_is_stopped_and_it_tells_all_when_it_goes_on(
    stage: Stage, target: Target
) -> None:
    stage.write("test_slow.py", site("/slow/0.05"))
    cluster = Cluster(stage, 2, agent_options=BRIEF)
    options = ("test_slow", "-u", USERS, "--hits", 250, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target, 20)
    victim, other = cluster.agents
    victim.signal(signal.SIGSTOP)
    until(lambda: not victim.workers, "the end of its workers")
    assert other.workers, "those of the other go on"
    victim.signal(signal.SIGCONT)
    result = runner.wait()
    assert result.code == 4
    assert result.is_exact_but_for_cut(target)
    assert result.tests["success"] < 2 * USERS * 250
    (loss,) = result.warnings
    assert "stopped early: orphaned, no word from its agent for 3 s: all its hits are" in loss


def test_an_agent_that_is_stopped_for_good_leaves_no_load(stage: Stage, target: Target) -> None:
    """The run ends without it, and nobody's target is served any longer than that takes."""
    stage.write("test_site.py", SITE)
    cluster = quick_cluster(stage, 1, BRIEF)
    options = ("test_site", "-u", USERS, "--hits", 1_000_000, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target)
    (agent,) = cluster.agents
    agent.signal(signal.SIGSTOP)
    until(lambda: not agent.workers, "the end of its workers")
    served = target.hits
    result = runner.wait()
    assert result.code == 4
    assert result.hits <= target.hits <= result.hits + most_unknown(result)
    assert target.hits <= served + USERS, "what had been sent by then"
    served = target.hits
    agent.signal(signal.SIGCONT)
    agent.says("Registered with the broker", times=2)
    assert target.hits == served


def test_an_orphaned_agent_stops_its_load_and_tells_all_when_its_broker_is_back(
    stage: Stage, target: Target
) -> None:
    stage.write("test_site.py", SITE)
    cluster = quick_cluster(stage, 2, BRIEF)
    options = ("test_site", "-u", USERS, "--hits", 1_000_000, "--server-url", target.url)
    runner = cluster.start(*options)
    under_load(target)
    cluster.broker.signal(signal.SIGSTOP)
    for agent in cluster.agents:
        agent.says("The load is stopped: orphaned, no word from the broker")
        until(lambda agent=agent: not agent.workers, "the end of the workers")
    served = target.hits
    cluster.broker.signal(signal.SIGCONT)
    result = runner.wait()
    assert result.code == 4
    assert result.is_exact_but_for_cut(target)
    assert target.hits == served
    assert result.warnings
    assert all("stopped early: orphaned" in warning for warning in result.warnings)


# -- targets ---------------------------------------------------------------------------------------


def test_a_target_that_is_down_is_data(stage: Stage, target: Target) -> None:
    """Nobody listens: a hit that failed to connect is counted, and told apart."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage)
    result = cluster.run("test_site", "-u", 2, "--hits", 5, "--server-url", "http://127.0.0.1:9")
    assert result.code == 1
    assert result.tests["errors"] == 10
    assert sum(u["errors"] for u in result.summary["urls"]) == result.hits == 10
    assert [list(url["status"]) for url in result.summary["urls"]] == [["refused"]]


def test_a_target_that_accepts_and_never_answers_does_not_hold_up_the_end(
    stage: Stage, target: Target
) -> None:
    stage.write("test_hang.py", site("/hang"))
    cluster = Cluster(stage, 2)
    options = ("-u", USERS, "-d", 1, "--grace", 1, "--server-url", target.url)
    result = cluster.run("test_hang", *options)
    assert result.is_exact(target)
    assert target.hits == result.tests["cut"] == 2 * USERS
    assert result.summary["urls"][0]["status"] == {"cut": 2 * USERS}
    assert result.code == 1  # nothing was tested


@pytest.mark.parametrize("how", ["drop", "reset"])
def test_a_target_that_hangs_up_is_counted_exactly(stage: Stage, target: Target, how: str) -> None:
    """It ends the connection in order, or has its system break it, instead of answering."""
    stage.write("test_drop.py", site(f"/{how}"))
    cluster = Cluster(stage, 2)
    result = cluster.run("test_drop", "-u", 5, "--hits", 20, "--server-url", target.url)
    assert result.code == 1
    assert result.is_exact(target)
    assert target.hits == result.tests["errors"] == 200
    (url,) = result.summary["urls"]
    assert url["status"] == {"reset": 200}
    assert url["errors"] == 200


# -- machines --------------------------------------------------------------------------------------


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_the_clock_of_an_agent_may_be_an_hour_off(
    stage: Stage, target: Target, offset: str
) -> None:
    """Delays and lengths of time travel, and times of day do not."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 1)
    nowhere = stage.root / "nowhere"
    odd = stage.start("agent", "loads-agent", "--workers", 1, cwd=nowhere, env=shifted(offset))
    cluster.broker.says("2 in all")
    cluster.agents.append(odd)
    options = ("test_site", "-u", USERS, "-d", 2, "--server-url", target.url)
    before = time.time()
    result = cluster.run(*options)
    assert result.code == 0
    assert result.is_exact(target)
    assert abs(result.summary["started"] - before) < 60
    assert result.summary["duration"] < 30
    assert all(agent["hits"] for agent in result.summary["agents"])


def limit_descriptors(pid: int, number: int, for_good: bool = False) -> None:
    """Limit a process; what it starts can raise that for itself, unless it is ``for_good``."""
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    limits = (number, number if for_good else most)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_worker_without_descriptors_counts_what_failed(stage: Stage, target: Target) -> None:
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage, 1)
    agent = cluster.agents[0]
    limit_descriptors(agent.pid, 64, for_good=True)
    runner = cluster.start("test_gate", "-u", 100, "--hits", 2, "--server-url", target.url)
    until(lambda: target.hits, "users at the gate")
    run_id = cluster.broker.says(" started on ").split("Run ")[1].split()[0]
    failing = lambda: cluster.view(run_id).tally.hits > 0  # noqa: E731
    until(failing, "hits that fail for want of a descriptor")
    target.open_gate()
    result = runner.wait()
    assert result.code == 1
    assert sum(result.tests.values()) == 200
    reached = sum(u["status"].get("200", 0) for u in result.summary["urls"])
    assert reached == target.hits
    assert any("open files" in f["message"] for f in result.summary["failures"])


def test_an_agent_without_descriptors_says_so_and_the_next_run_is_exact(
    stage: Stage, target: Target
) -> None:
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, 1)
    agent = cluster.agents[0]
    limit_descriptors(agent.pid, open_descriptors(agent.pid) + 1)
    options = ("test_site", "-u", 2, "--hits", 5, "--server-url", target.url)
    result = cluster.run(*options)
    assert result.code == 4
    assert "cannot start workers" in result.err
    assert "ulimit" in result.err
    assert "Traceback" not in agent.err
    limit_descriptors(agent.pid, 256)
    again = cluster.run(*options)
    assert (again.code, again.hits, target.hits) == (0, 10, 10)


def test_a_broker_without_descriptors_goes_on_with_whom_it_has(
    stage: Stage, target: Target
) -> None:
    """Newcomers have to wait; a run that is on is not disturbed."""
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage, 1, tcp=True)
    runner = cluster.start("test_gate", "-u", 2, "--hits", 5, "--server-url", target.url)
    until(lambda: target.hits == 2, "all users at the gate")
    limit_descriptors(cluster.broker.pid, open_descriptors(cluster.broker.pid))
    late = cluster.start_agent()
    late.says("Still trying")
    assert cluster.broker.code is None
    target.open_gate()
    result = runner.wait()
    assert (result.code, result.hits, target.hits) == (0, 10, 10)
    limit_descriptors(cluster.broker.pid, 256)
    late.says("Registered with the broker")
