"""A broker that is killed, and another that takes up its runs."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from loads.broker import documents as d
from loads.broker.actions import (
    FromClient,
    Publish,
    Removed,
    StorageFailed,
    StorageWorks,
    Store,
    Tick,
    ToAgent,
    ToClient,
)
from loads.broker.book import AHEAD
from loads.broker.state import Run
from loads.ledger import Ledger
from loads.metrics.history import History
from loads.metrics.summary import RunView
from loads.metrics.timeline import Second
from loads.plan import ON_AGENT_LOSS
from loads.protocol import messages as m
from loads.protocol.codec import pack, plan_size, unpack
from loads.protocol.dialogue import State
from loads.protocol.roles import Role, Who
from loads.storage.base import AddDelta, ForgetRun, SavePart, SaveRun
from loads.storage.memory import MemoryStorage
from tests.unit.broker.scene import (
    CLIENT,
    Scene,
    acknowledge,
    hits,
    plan,
    prepare,
    ready,
    register,
    report,
    submit,
)
from tests.unit.broker.test_broker_always_ends import Chaos, events
from tests.unit.strategies import quick

EPOCH = 1_700_000_000.0  #: what is set by hours does not get to 1970


def accounts(ledger: Ledger) -> dict[str, tuple]:
    return {
        source: (a.hits, a.last, a.users, a.ended, a.reason, a.unknown, a.given_up, a.missing)
        for source, a in ledger.accounts.items()
    }


def numbers(history: History) -> dict:
    """How many there were of each series, whenever that was."""
    totals: dict = {}
    for key, _, slot in history.rows():
        totals[key] = totals.get(key, 0) + slot.count
    return totals


def essence(run: Run) -> tuple:
    """What a restart may not change of a run that goes on."""
    parts = {
        part.agent_id: (
            part.host,
            part.workers,
            "open" if not part.is_over else part.state,
            part.extensions,
            part.handed_over,
            part.awaited_until if part.is_over else 0.0,
        )
        for part in run.parts.values()
    }
    said = run.aborted, run.remarks
    patience = run.deadline if run.state == "queued" else 0.0
    return said, run.plan, run.state, run.status, run.stop_asked, patience, run.started, parts


# -- a run that goes on --------------------------------------------------------------------------


def test_a_run_goes_on_with_its_numbers():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 3), report("a/1", 1, 2), report("a/0", 2, 1))
    scene.says("b", report("b/0", 1, 5))
    before = essence(run), accounts(run.ledger)
    scene.restarts()
    again = scene.core.runs["r1"]
    assert again is not run
    assert (essence(again), accounts(again.ledger)) == before
    assert again.ledger.total == run.ledger.total
    assert numbers(again.history) == dict.fromkeys(hits(1).series, 11)
    assert sorted(again.awaited) == ["a", "b"]
    assert "r1 goes on, running, with 11 hits so far; waiting for a, b." in scene.logs[-1]


def test_agents_come_back_and_say_again_what_was_not_acknowledged():
    scene = Scene()
    scene.runs("a")
    scene.says("a", report("a/0", 1, 3))
    scene.restarts()
    assert scene.says("a", m.Heartbeat()) == [scene.to("a", m.WhoAreYou())]
    (greeting, *_rest) = scene.reconnects("a", "r1")
    assert greeting == scene.to("a", m.WelcomeBack(1.0, 10.0))
    said = scene.says("a", ready("a"), report("a/0", 1, 3), report("a/0", 2, 4))
    assert said == [
        scene.to("a", m.Start("r1", 0.0, 0.25)),
        scene.to("a", acknowledge("a/0", 1)),
        scene.to("a", acknowledge("a/0", 2)),
    ]
    assert scene.core.runs["r1"].ledger.total.hits == 7
    scene.says("a", report("a/0", 3, 1, ended="finished"), report("a/1", 1, 1, ended="finished"))
    scene.says("a", m.Finished("r1"))
    assert scene.core.runs["r1"].status == "finished"
    assert scene.core.runs["r1"].view(hits(0)).warnings == ()


def test_consoles_notice_the_gap():
    """Updates are not stored one by one: numbers go on far above all that were published."""
    scene = Scene()
    run = scene.runs("a")
    scene.passes(60, "a")
    published = run.number
    for _ in range(3):
        scene.restarts(0.002)
        scene.passes(1)
        (snapshot,) = scene.asks(m.GetRun(1, "r1"))
        assert snapshot.message.number > published + 1
        published = snapshot.message.number


def test_the_monotonic_clock_may_begin_anew():
    """The box was rebooted: only the time of day goes on."""
    scene = Scene(epoch=5000.0)
    scene.runs("a", duration=60, grace=5)
    scene.now = 0.0
    scene.restarts(10.0, clock_set=1000.0)
    assert scene.core.runs["r1"].elapsed == pytest.approx(10, abs=0.2)
    (part,) = scene.core.runs["r1"].parts.values()
    assert scene.core.runs["r1"].awaited == {"a": 50.0}
    assert part.gone_since == scene.now == 10.0


# -- the time that is left to a run ----------------------------------------------------------------


@pytest.mark.parametrize("clock_set", [0.0, 3600.0, -3600.0], ids=["right", "ahead", "back"])
@pytest.mark.parametrize("downtime", [1.0, 18.5, 500.0])
def test_a_run_whose_end_comes_while_there_is_no_broker_is_exact(downtime, clock_set):
    """Its agents hold all of it, and are back in their time."""
    scene = Scene(epoch=EPOCH, stop_slack=15, return_timeout=40)
    scene.runs("a", "b", duration=2.0, grace=0.0)
    scene.says("a", report("a/0", 1, 5, elapsed=1.0))
    scene.restarts(downtime, clock_set)
    scene.passes(39)
    for name in ("a", "b"):
        scene.reconnects(name, "r1")
        scene.says(name, ready(name))
        scene.passes(7, "a", "b")
    scene.says("a", report("a/0", 2, 3, elapsed=2.0))
    scene.ends("b")
    scene.ends("a")
    run = scene.core.runs["r1"]
    assert (run.status, run.ledger.total.hits, run.view(hits(0)).warnings) == ("finished", 8, ())


@pytest.mark.parametrize("clock_set", [0.0, 3600.0, -3600.0], ids=["right", "ahead", "back"])
def test_a_load_goes_on_to_its_end_whatever_the_time_of_day_was_set_to(clock_set):
    scene = Scene(epoch=EPOCH, stop_slack=15)
    scene.runs("a", duration=600.0, grace=5.0)
    scene.passes(100, "a")
    scene.says("a", report("a/0", 1, 5, elapsed=100.0))
    scene.restarts(10.0, clock_set)
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"), report("a/0", 2, 1, elapsed=111.0))
    scene.passes(600 + 5 - 111, "a")
    run = scene.core.runs["r1"]
    assert run.state == "running"
    downtime = 0 if clock_set < 0 else 10 + clock_set  # as far as the broker can know
    assert run.elapsed == pytest.approx(100 + downtime + 600 + 5 - 111, abs=1)
    scene.says("a", report("a/0", 3, 1, elapsed=600.0))
    assert run.ledger.total.elapsed == 600, "nothing is put before its time"
    scene.ends("a")
    assert (run.status, run.ledger.total.hits) == ("finished", 7)


@pytest.mark.parametrize("clock_set", [0.0, 3600.0, -3600.0], ids=["right", "ahead", "back"])
@pytest.mark.parametrize("downtime", [1.0, 500.0])
def test_an_agent_that_is_back_and_never_ends_is_given_up(downtime, clock_set):
    """No broker could say when; from here on, it has what was not known to be over, at most."""
    scene = Scene(epoch=EPOCH, stop_slack=15, start_delay=0.0)
    scene.runs("a", duration=60.0, grace=5.0)
    scene.passes(20, "a")
    scene.says("a", report("a/0", 1, 5, elapsed=20.0))
    scene.restarts(downtime, clock_set)
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.passes(60 + 5 - 20 + 14, "a")
    run = scene.core.runs["r1"]
    assert run.state == "running"
    scene.passes(2, "a")
    assert run.status == "incomplete"


@pytest.mark.parametrize("clock_set", [0.0, 3600.0, -3600.0], ids=["right", "ahead", "back"])
def test_brokers_that_are_killed_one_after_the_other_put_off_no_end_for_ever(clock_set):
    scene = Scene(epoch=EPOCH, stop_slack=15, start_delay=0.0, return_timeout=40)
    scene.runs("a", duration=60.0, grace=5.0)
    scene.says("a", report("a/0", 1, 5, elapsed=20.0))
    for _ in range(10):
        scene.restarts(100.0, clock_set)
        scene.reconnects("a", "r1")
        scene.says("a", ready("a"))
        scene.passes(5, "a")
    run = scene.core.runs["r1"]
    assert run.deadline <= scene.now + 60 + 5 + 15
    scene.passes(60, "a")
    assert run.status == "incomplete"


@pytest.mark.parametrize("clock_set", [3600.0, -3600.0], ids=["ahead", "back"])
def test_a_run_that_is_prepared_or_stopped_has_its_time_whatever_the_time_of_day_is(clock_set):
    scene = Scene(epoch=EPOCH, prepare_timeout=120, stop_slack=15)
    scene.prepares("a", run_id="r1")
    scene.runs("b", run_id="r2", duration=60.0)
    scene.says("b", report("b/0", 1, 5, "r2", elapsed=1.0))
    scene.asks(m.StopRun(1, "r2", 20.0))
    scene.restarts(5.0, clock_set)
    scene.reconnects("a", "r1")
    stop = scene.reconnects("b", "r2")[-1].message
    assert 0 <= stop.grace <= 20
    scene.says("b", ready("b", "r2"))
    scene.passes(10, "a", "b")
    states = [scene.core.runs[run_id].state for run_id in ("r1", "r2")]
    assert states == ["preparing", "stopping"]
    scene.passes(120, "a", "b")
    assert {run.status for run in scene.core.runs.values()} == {"failed", "stopped"}


@pytest.mark.parametrize("clock_set", [3600.0, -3600.0], ids=["ahead", "back"])
def test_updates_are_numbered_on_whatever_the_time_of_day_was_set_to(clock_set):
    scene = Scene(epoch=EPOCH)
    scene.runs("a")
    scene.restarts()
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.passes(10, "a")
    for _ in range(2):
        published = scene.core.runs["r1"].number
        scene.restarts(1.0, clock_set)
        assert scene.core.runs["r1"].number > published + 1
        scene.passes(5)
    run = scene.core.runs["r1"]
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.ends("a")
    assert run.status == "finished"
    scene.restarts(1.0, clock_set)
    assert "r1" not in scene.core.runs
    (snapshot,) = scene.asks(m.GetRun(1, "r1"))
    assert snapshot.message.number >= run.number, "who has followed it takes that for the latest"


def test_agents_that_do_not_come_back_are_lost():
    scene = Scene(return_timeout=30)
    scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 3))
    scene.restarts()
    scene.reconnects("b", "r1")
    scene.says("b", ready("b"))
    scene.passes(29, "b")
    assert scene.core.runs["r1"].state == "running"
    scene.passes(2, "b")
    run = scene.core.runs["r1"]
    assert (run.parts["a"].state, run.parts["b"].state) == ("lost", "running")
    scene.ends("b")
    assert run.status == "incomplete"
    view = run.view(hits(0))
    assert "did not come back after the broker's restart" in view.warnings[0]
    assert [agent.unknown for agent in view.agents] == [None, 0]


@pytest.mark.parametrize("comes_back", [True, False])
def test_an_agent_that_was_released_just_before_is_not_lost(comes_back):
    """The broker had told it so, and was killed before it had written that down."""
    scene = Scene(return_timeout=5)
    scene.runs("a", "b")
    scene.passes(1, "a", "b")
    scene.ends("a")
    scene.restarts()
    assert scene.core.runs["r1"].parts["a"].state == "running"
    scene.reconnects("b", "r1")
    scene.says("b", ready("b"))
    if comes_back:
        scene.reconnects("a")
    else:
        scene.passes(6, "b")
    assert scene.core.runs["r1"].parts["a"].state == "ended"
    scene.ends("b")
    assert scene.core.runs["r1"].status == "finished"


def test_workers_that_never_said_how_they_ended_are_lost_after_a_restart_too():
    scene = Scene()
    scene.runs("a", "b")
    scene.says("a", m.Finished("r1"))
    scene.passes(0.25, "b")
    scene.restarts()
    scene.registers("b", "r1")
    scene.says("b", ready("b"))
    scene.ends("b")
    run = scene.core.runs["r1"]
    assert run.status == "incomplete"
    assert "a/0 never reported how it ended" in run.view(hits(0)).warnings[0]


def test_an_agent_that_has_forgotten_its_run_is_lost():
    scene = Scene()
    scene.runs("a")
    scene.restarts()
    scene.reconnects("a")
    run = scene.core.runs["r1"]
    assert run.status == "incomplete"
    assert "agent a has forgotten the run" in run.view(hits(0)).warnings[0]


def test_a_run_is_not_stored_for_each_of_its_agents():
    scene = Scene()
    names = [f"a{number}" for number in range(20)]
    scene.prepares(*names)
    heads = []
    write = scene.storage.write
    scene.storage.write = lambda records: (heads.extend(records), write(records))
    for name in names[1:]:
        scene.says(name, ready(name))
    assert heads == []
    scene.passes(1, *names)
    assert len(heads) == 1
    scene.says(names[0], ready(names[0]))
    assert scene.core.runs["r1"].state == "running"
    assert scene.storage.run("r1").heading.head == heads[1].head


def test_an_agent_that_comes_back_too_late_is_taken_in_again():
    scene = Scene(return_timeout=5)
    scene.runs("a", "b")
    scene.restarts()
    scene.reconnects("b", "r1")
    scene.says("b", ready("b"))
    scene.passes(6, "b")
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.ends("a")
    scene.ends("b")
    assert scene.core.runs["r1"].status == "finished"


def test_a_stopped_run_stops():
    scene = Scene(stop_slack=15)
    scene.runs("a")
    scene.asks(m.StopRun(1, "r1", 20.0))
    scene.restarts(5.0)
    stop = scene.reconnects("a", "r1")[-1]
    assert isinstance(stop.message, m.StopLoad)
    assert stop.message.grace == pytest.approx(15.0)
    scene.says("a", ready("a"))
    scene.ends("a")
    assert scene.core.runs["r1"].status == "stopped"


# -- a run that is prepared ----------------------------------------------------------------------


def test_a_run_that_is_being_prepared_goes_on():
    scene = Scene()
    scene.prepares("a", "b")
    scene.says("a", ready("a"))
    scene.restarts()
    for name in ("a", "b"):
        scene.reconnects(name, "r1")
    scene.says("a", ready("a"))
    assert scene.core.runs["r1"].state == "preparing", "b has not said that it is ready"
    started = scene.says("b", ready("b"))
    assert scene.to("a", m.Start("r1", 0.1, 0.25)) in started
    assert scene.to("b", m.Start("r1", 0.1, 0.25)) in started


def test_an_agent_that_never_heard_of_its_run_is_told():
    scene = Scene()
    scene.prepares("a")
    scene.restarts()
    said = scene.reconnects("a")
    assert said == [scene.to("a", m.Welcome(1.0, 10.0)), scene.to("a", prepare(plan(1)))]
    scene.says("a", ready("a"))
    assert scene.core.runs["r1"].state == "running"


def test_the_files_of_a_test_are_kept_until_it_starts():
    scene = Scene()
    scene.prepares("a")
    assert scene.storage.run("r1").parts == {d.BUNDLE: b"bundle"}
    scene.says("a", ready("a"))
    assert scene.storage.run("r1").parts == {}


@pytest.mark.parametrize("clock_set", [0.0, -3600.0], ids=["right", "back"])
def test_a_run_that_lost_an_agent_goes_on_waiting_as_the_next_broker_knows(clock_set):
    """For its agents when it is prepared, for others when they do not come, and no longer."""
    scene = Scene(epoch=EPOCH, return_timeout=5)
    for name in ("a", "b"):
        scene.registers(name)
    scene.asks(submit(plan(2), patience=100.0))
    scene.says("b", m.Bye())
    assert scene.core.runs["r1"].state == "queued"
    scene.restarts(1.0, clock_set)
    run = scene.core.runs["r1"]
    assert (run.state, run.parts, run.turn) == ("queued", {}, 1)
    scene.registers("a")
    scene.registers("c")
    assert (run.state, sorted(run.parts)) == ("preparing", ["a", "c"])
    scene.restarts()
    run = scene.core.runs["r1"]
    scene.reconnects("a", "r1")
    scene.says("a", m.Ready("r1", ("a/0", "a/1"), 1))
    scene.passes(6, "a")
    assert (run.state, run.turn, run.bundle) == ("queued", 2, b"bundle")
    assert scene.state_of("a") is State.IDLE
    assert scene.core.runs["r1"].queue is not None
    scene.passes(93, "a")
    assert run.state == ("queued" if clock_set else "ended")
    scene.passes(10, "a")
    assert (run.status, run.error_code) == ("failed", 6)


def test_nothing_is_left_of_what_was_stored_before_a_run_waits_again():
    scene = Scene()
    for name in ("a", "b"):
        scene.registers(name)
    scene.asks(submit(plan(2), patience=None))
    scene.says("a", ready("a"), report("a/0", 1, 3))
    scene.storage.write(scene.core.compact("r1"))
    scene.says("a", report("a/0", 2, 3))
    scene.says("b", m.Bye())
    stored = scene.storage.run("r1")
    assert (stored.parts, stored.deltas) == ({d.BUNDLE: b"bundle"}, ())
    scene.restarts()
    run = scene.core.runs["r1"]
    assert (run.ledger.accounts, run.ledger.total.hits) == ({}, 0)


def test_runs_that_wait_keep_their_places():
    scene = Scene()
    scene.runs("a", run_id="r0")
    for run_id, patience in (("w2", 100.0), ("w1", None)):
        scene.asks(submit(plan(1), patience=patience), run_id)
        scene.now += 1
    scene.restarts()
    (row, *waiting) = scene.asks(m.ListRuns(1))[0].message.runs
    assert row.run_id == "r0"
    assert [(row.run_id, row.state, row.place) for row in waiting] == [
        ("w2", "queued", 1),
        ("w1", "queued", 2),
    ]
    said = scene.registers("b")
    assert scene.to("b", prepare(plan(1), "w2")) in said
    scene.passes(100, "b")
    assert scene.core.runs["w1"].state == "queued"


def test_the_patience_of_a_run_goes_on_while_there_is_no_broker():
    scene = Scene()
    scene.asks(submit(plan(1), patience=100.0), "w1")
    scene.restarts(99.0)
    assert scene.core.runs["w1"].state == "queued"
    scene.passes(2)
    assert scene.core.runs["w1"].error_code == 6


def test_a_lost_agent_is_awaited_as_long_as_without_the_restart():
    scene = Scene(orphan_timeout=30.0)  # so long agents keep up their load without a broker
    scene.runs("a", "b")
    scene.passes(11, "b")
    scene.ends("b")
    scene.restarts()
    scene.reconnects("b")  # which was released before
    run = scene.core.runs["r1"]
    scene.passes(10, "b")
    assert run.state == "running"
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"), report("a/0", 1, 7))
    scene.ends("a")
    assert (run.status, run.ledger.total.hits) == ("finished", 7)


def test_and_no_longer():
    scene = Scene(orphan_timeout=30.0)
    scene.runs("a", "b")
    scene.passes(11, "b")
    scene.ends("b")
    scene.restarts()
    scene.reconnects("b")
    scene.passes(20, "b")
    assert scene.core.runs["r1"].state == "running"
    scene.passes(3, "b")
    assert scene.core.runs["r1"].status == "incomplete"


# -- plans that are submitted again --------------------------------------------------------------


def accepted(actions: list) -> str:
    """The run that a submission was answered with."""
    (reply,) = (a.message for a in actions if isinstance(a, ToClient))
    return reply.run_id


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("state", ["queued", "preparing", "running", "ended"])
def test_a_plan_that_is_submitted_again_is_the_same_run(state, restarted):
    """The client has had no answer, and cannot know whether the broker had the question."""
    scene = Scene()
    asked = replace(submit(plan(), patience=None), submission="mine")
    if state != "queued":
        scene.registers("a")
    assert accepted(scene.asks(asked, "r1")) == "r1"
    if state in ("running", "ended"):
        scene.says("a", ready("a"))
    if state == "ended":
        scene.ends("a")
    assert scene.core.runs["r1"].state == state
    if restarted:
        scene.restarts()
    again = scene.asks(replace(asked, request=2), "r2")
    assert [action for action in again if isinstance(action, ToClient | ToAgent)] == [
        ToClient(CLIENT, m.Accepted(2, "r1"))
    ]
    assert "r2" not in scene.core.runs


def test_plans_of_others_and_those_without_a_name_are_other_runs():
    scene = Scene()
    named = replace(submit(plan(), patience=None), submission="mine")
    for run_id in ("r1", "r2"):
        assert accepted(scene.asks(submit(plan(), patience=None), run_id)) == run_id
    for number, who in enumerate((Who("anne", Role.RUNNER), Who("ben", Role.RUNNER)), 3):
        said = scene.feed(FromClient(CLIENT, named, f"r{number}", who))
        assert accepted(said) == f"r{number}"
    other = replace(named, submission="other")
    assert accepted(scene.asks(other, "r5")) == "r5"


# -- runs that have ended ------------------------------------------------------------------------


def test_a_run_that_has_ended_is_answered_from_the_storage():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 3))
    scene.ends("a")
    before = run.view(run.ledger.total)
    scene.restarts()
    assert scene.core.runs == {}
    for question in (m.GetRun(7, "r1"), m.StopRun(7, "r1", 0)):
        (answer,) = scene.asks(question)
        assert answer.message.view == before
        assert answer.message.number > run.number
    stored = scene.storage.run("r1")
    assert sorted(stored.parts) == [f"{d.HISTORY}00", d.LEDGER, d.RESULT]
    assert stored.deltas == ()
    kept = unpack(d.LedgerKept, stored.parts[d.LEDGER]).accounts
    assert [(a.source, a.last, a.ended, a.hits) for a in kept] == [
        ("a/0", 2, "finished", 3),
        ("a/1", 1, "finished", 0),
    ]
    assert numbers(d.history_in(stored.parts)) == dict.fromkeys(hits(1).series, 3)


def test_the_agents_of_a_run_are_stored_with_it():
    """What a list said of them while they were there."""
    scene = Scene()
    scene.says("a", replace(register("a"), cores=8, version="2.1"))
    scene.runs("a")
    for _ in range(2):
        (agent,) = scene.core.runs["r1"].view(hits(0)).agents
        assert (agent.host, agent.workers, agent.cores, agent.version) == ("a.example", 2, 8, "2.1")
        scene.restarts()
        scene.says("a", replace(register("a", "r1", attempt=2), cores=8, version="2.1"))
    scene.says("a", ready("a"))
    scene.ends("a")
    scene.restarts()
    assert "r1" not in scene.core.runs
    (answer,) = scene.asks(m.GetRun(1, "r1"))
    (agent,) = answer.message.view.agents
    assert (agent.host, agent.workers, agent.cores, agent.version) == ("a.example", 2, 8, "2.1")
    (kept,) = unpack(d.Head, scene.storage.run("r1").heading.head).parts
    assert (kept.host, len(kept.workers), kept.cores, kept.version) == ("a.example", 2, 8, "2.1")


def test_what_an_older_broker_has_stored_says_less_of_agents():
    scene = Scene()
    scene.runs("a")
    head = msgpack.unpackb(scene.storage.run("r1").heading.head)
    for part in head["parts"]:
        del part["cores"], part["version"]
    scene.storage.write([SaveRun("r1", 1.0, None, msgpack.packb(head))])
    scene.restarts()
    (agent,) = scene.core.runs["r1"].view(hits(0)).agents
    assert (agent.host, agent.cores, agent.version) == ("a.example", 0, "")


def test_lists_and_prefixes_know_runs_that_are_in_the_storage_only():
    scene = Scene(epoch=5000.0)
    for run_id in ("r1", "r2"):
        scene.runs("a", run_id=run_id, config={"user_id": "alice"})
        scene.says("a", report("a/0", 1, 3, run_id))
        scene.ends("a", run_id)
    (before,) = scene.asks(m.ListRuns(1))
    scene.restarts()
    assert scene.asks(m.ListRuns(1)) == [before]
    assert [row.run_id for row in before.message.runs] == ["r2", "r1"]
    assert {(row.hits, row.user_id, row.status) for row in before.message.runs} == {
        (3, "alice", "finished")
    }
    (refused,) = scene.asks(m.GetRun(1, "r"))
    assert refused.message.message == "r is the beginning of 2 runs."
    scene.storage.write([ForgetRun("r2")])
    scene.feed(Removed(("r2",)))
    (found,) = scene.asks(m.GetRun(1, "r"))
    assert found.message.view.run_id == "r1"


def test_checks_are_not_stored():
    scene = Scene()
    scene.registers("a")
    scene.asks(replace(submit(plan(1)), on=("a",)), "c1")
    scene.says("a", ready("a", "c1"), report("a/0", 1, 1, "c1"))
    scene.ends("a", "c1")
    assert scene.core.runs["c1"].status == "finished"
    assert scene.storage.size() == 0


def test_an_agent_whose_run_has_ended_meanwhile_is_welcome():
    scene = Scene()
    scene.runs("a")
    scene.ends("a")
    scene.restarts()
    assert scene.reconnects("a", "r1") == [scene.to("a", m.Welcome(1.0, 10.0))]
    assert scene.state_of("a") is State.IDLE


def test_a_run_that_was_removed_is_forgotten():
    scene = Scene()
    scene.runs("a")
    scene.ends("a")
    assert list(scene.core._book.ended) == ["r1"]
    scene.feed(Removed(("r1", "r0")))
    assert scene.core.runs == {}
    assert scene.core._book.ended == {}


def test_lists_of_ended_runs_have_an_end():
    scene = Scene(listed_runs=2)
    for number in range(4):
        scene.runs("a", run_id=f"r{number}")
        scene.ends("a", f"r{number}")
    assert list(scene.core._book.ended) == ["r2", "r3"]
    scene.restarts()
    assert list(scene.core._book.ended) == ["r2", "r3"]


def test_plans_in_lists_of_ended_runs_take_so_much_room():
    large = plan(env={"A": "x" * 10_000})
    scene = Scene(listed_bytes=2 * plan_size(large) + 100)
    for number in range(5):
        scene.runs("a", run_id=f"r{number}", env={"A": "x" * 10_000})
        scene.ends("a", f"r{number}")
    assert list(scene.core._book.ended) == ["r3", "r4"]
    scene.feed(Removed(("r3",)))
    scene.runs("a", run_id="r5", env={"A": "x" * 10_000})
    scene.ends("a", "r5")
    assert list(scene.core._book.ended) == ["r4", "r5"]
    scene.restarts()
    assert list(scene.core._book.ended)[-2:] == ["r4", "r5"]


# -- storages with gaps --------------------------------------------------------------------------


def test_a_storage_that_missed_reports_makes_a_run_incomplete_and_not_endless():
    """Reports that were acknowledged while nothing was stored do not come again."""
    scene = Scene()
    scene.runs("a")
    scene.says("a", report("a/0", 1, 3))
    kept = scene.storage.run("r1")
    scene.says("a", report("a/0", 2, 3), report("a/0", 3, 3))
    scene.storage.write([SaveRun("r1", 0, None, kept.heading.head)])
    scene.storage._runs["r1"].deltas[1:] = []
    scene.restarts()
    scene.reconnects("a", "r1")
    said = scene.says("a", ready("a"), report("a/0", 4, 2))
    assert said[-1] == scene.to("a", acknowledge("a/0", 4))
    scene.says("a", report("a/0", 5, 0, ended="finished"), report("a/1", 1, 1, ended="finished"))
    scene.says("a", m.Finished("r1"))
    run = scene.core.runs["r1"]
    assert run.status == "incomplete"
    assert run.ledger.total.hits == 6
    view = run.view(hits(0))
    assert view.warnings == (
        "a/0 made 2 reports that the broker has lost",
        "Agent a may have run a test that is not counted.",
    )
    assert view.agents[0].unknown is None


def test_only_the_first_report_after_a_restart_may_leave_a_gap():
    scene = Scene()
    scene.runs("a")
    scene.restarts()
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"), report("a/0", 1, 1))
    assert scene.says("a", report("a/0", 3, 1)) == [scene.to("a", acknowledge("a/0", 1))]


def test_a_run_that_cannot_be_read_is_put_aside():
    scene = Scene()
    scene.storage.write([SaveRun("r0", 5.0, None, b"nonsense"), SaveRun("r9", 5.0, 6.0, b"?")])
    scene.restarts()
    assert scene.core.runs == {}
    assert any("Run r0 cannot go on" in line for line in scene.logs)
    assert any("Run r9 cannot be read" in line for line in scene.logs)
    assert scene.storage.open_runs() == [], "it is said once, and not at each start"
    (answer,) = scene.asks(m.GetRun(1, "r0"))
    assert isinstance(answer.message, m.Refused)


def test_a_damaged_result_is_refused():
    scene = Scene()
    scene.storage.write([SaveRun("r0", 5.0, 6.0, b""), SavePart("r0", d.RESULT, b"nonsense")])
    (answer,) = scene.asks(m.GetRun(1, "r0"))
    assert "cannot be read" in answer.message.message


def test_a_run_says_that_it_is_not_stored():
    scene = Scene()
    run = scene.runs("a")
    scene.feed(StorageFailed("The disk is full."))
    (warning,) = run.view(hits(0)).warnings
    assert warning == "Not stored, and lost if the broker ends: The disk is full."
    scene.feed(StorageWorks())
    assert run.view(hits(0)).warnings == ()


# -- snapshots and the order of things -----------------------------------------------------------


def test_a_snapshot_stands_for_all_deltas():
    scene = Scene()
    scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 3), report("a/1", 1, 2))
    scene.passes(1, "a", "b")
    scene.says("a", report("a/0", 2, 4))
    scene.storage.write(scene.core.compact("r1"))
    assert scene.storage.run("r1").deltas == ()
    scene.says("b", report("b/0", 1, 5))
    run = scene.core.runs["r1"]
    before = accounts(run.ledger)
    scene.restarts()
    assert accounts(scene.core.runs["r1"].ledger) == before
    assert numbers(scene.core.runs["r1"].history) == dict.fromkeys(hits(1).series, 14)


def test_what_one_snapshot_held_is_in_the_next():
    """Also what had not entered the history, because it was news when the first was made."""
    scene = Scene()
    scene.runs("a")
    scene.says("a", report("a/0", 1, 3))
    for _ in range(3):
        scene.storage.write(scene.core.compact("r1"))
        scene.restarts()
    run = scene.core.runs["r1"]
    assert run.ledger.total.hits == 3
    assert numbers(run.history) == dict.fromkeys(hits(1).series, 3)


def test_what_has_ended_or_is_unknown_has_no_snapshot():
    scene = Scene()
    scene.runs("a")
    scene.ends("a")
    assert scene.core.compact("r1") == scene.core.compact("r0") == []


def test_a_report_is_stored_as_it_came_and_once():
    scene = Scene()
    scene.runs("a")
    message = report("a/0", 1, 3)
    for _ in range(2):
        scene.says("a", message)
    assert scene.storage.run("r1").deltas == (pack(message),)


def test_reports_of_many_workers_are_stored_and_acknowledged_together():
    scene = Scene(gathered_from=4)
    scene.runs("a", "b")
    first, second, third = report("a/0", 1, 3), report("a/0", 2, 4), report("b/1", 1, 5)
    assert scene.says("a", first, second) == []
    assert scene.says("b", third) == []
    assert scene.says("a", first) == []  # said again, and still not stored
    scene.now += 0.25
    said = scene.feed(Tick())
    told = [action for action in said if not isinstance(action, Publish)]
    assert told == [
        scene.to("a", acknowledge("a/0", 2)),
        scene.to("b", acknowledge("b/1", 1)),
    ]
    assert len(scene.storage.run("r1").deltas) == 1


def test_what_was_gathered_before_a_snapshot_is_not_counted_again_after_it():
    scene = Scene(gathered_from=4)
    scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 3))
    scene.storage.write(scene.core.compact("r1"))
    scene.says("b", report("b/0", 1, 5))
    scene.now += 0.25
    scene.feed(Tick())
    assert scene.acknowledged == {("r1", "a/0"): 1, ("r1", "b/0"): 1}
    scene.restarts()
    run = scene.core.runs["r1"]
    assert run.ledger.total.hits == 8
    assert numbers(run.history) == dict.fromkeys(hits(1).series, 8)


def test_what_a_snapshot_has_already_is_not_read_again():
    """Whatever the order in which it was written: older brokers wrote it after the snapshot."""
    for gathered_from in (4, 50):
        scene = Scene(gathered_from=gathered_from)
        scene.runs("a", "b")
        scene.says("a", report("a/0", 1, 3))
        scene.says("b", report("b/0", 1, 5))
        scene.now += 0.25
        scene.feed(Tick())
        deltas = scene.storage.run("r1").deltas
        scene.storage.write(scene.core.compact("r1"))
        scene.storage.write([AddDelta("r1", body) for body in deltas])
        scene.restarts()
        run = scene.core.runs["r1"]
        assert run.ledger.total.hits == 8
        assert numbers(run.history) == dict.fromkeys(hits(1).series, 8)


def test_what_was_reported_after_a_gap_is_read_again():
    """What the storage missed is missing, and what came after that is not."""
    scene = Scene()
    scene.runs("a")
    kept = scene.storage
    scene.storage = type(kept)()
    scene.says("a", report("a/0", 1, 3))
    scene.storage = kept
    scene.restarts()
    scene.registers("a", "r1")
    scene.says("a", ready("a"), report("a/0", 2, 4))
    for _ in range(2):
        scene.restarts()
        account = scene.core.runs["r1"].ledger.accounts["a/0"]
        assert (account.hits, account.last, account.missing) == (4, 2, 1)
        assert scene.core.runs["r1"].ledger.total.hits == 4


@pytest.mark.parametrize("gathered_from", [0, 50])
def test_what_an_agent_did_out_of_reach_is_of_the_seconds_in_which_it_did_it(gathered_from):
    """In the history of each series, also after a restart."""
    scene = Scene(orphan_timeout=60.0, gathered_from=gathered_from)
    scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 2))
    scene.passes(25, "b")
    tally = hits(25 * 4)
    for number in range(1, 26):
        tally.timeline.add(number, Second(4))
    tally.elapsed = 25.5
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"), m.Report("r1", "a/0", 2, tally))
    scene.passes(1, "a", "b")
    for _ in range(2):
        history = scene.core.runs["r1"].history
        slots = {second: slot.count for _, second, slot in history.rows()}
        assert slots == {0: 2, **dict.fromkeys(range(1, 26), 4)}
        scene.restarts()


def test_what_was_gathered_and_not_stored_is_asked_for_again():
    scene = Scene(gathered_from=4)
    scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 3))
    scene.restarts()
    assert scene.core.runs["r1"].ledger.total.hits == 0
    scene.registers("b", "r1")
    scene.registers("a", "r1")
    scene.says("a", ready("a"), report("a/0", 1, 3))
    scene.now += 0.25
    assert scene.to("a", acknowledge("a/0", 1)) in scene.feed(Tick())
    assert scene.core.runs["r1"].ledger.total.hits == 3


def test_fields_of_a_newer_version_are_ignored_and_missing_ones_have_defaults():
    scene = Scene()
    scene.runs("a")
    fields = msgpack.unpackb(scene.storage.run("r1").heading.head)
    del fields["hits"]
    head = msgpack.packb({**fields, "colour": "blue"})
    scene.storage.write([SaveRun("r1", 1.0, None, head)])
    scene.restarts()
    assert scene.core.runs["r1"].state == "running"


# -- lies about when ---------------------------------------------------------------------------


@pytest.mark.parametrize("gathered_from", [0, 50])
def test_an_agent_that_makes_up_seconds_does_not_grow_a_run(gathered_from):
    """They are of the time that there was, in memory, in what is stored, and after a restart."""
    scene = Scene(gathered_from=gathered_from)
    run = scene.runs("a")
    scene.passes(5, "a")
    for sequence in range(1, 21):
        tally = hits(100)
        tally.elapsed = 1e11
        for number in range(100):
            tally.timeline.add(sequence << 32 | number, Second(1))
        tally.timeline.add(3, Second(1))
        scene.says("a", m.Report("r1", "a/0", sequence, tally))
    scene.passes(1, "a")
    for _ in range(2):
        total = run.ledger.total
        assert total.hits == 2_000
        assert sum(second.hits for second in total.timeline.seconds.values()) == 2_020
        assert total.timeline.seconds[3].hits == 20
        assert len(total.timeline.seconds) <= 22, "each of the 20 reports may have come in another"
        assert max(total.timeline.seconds) <= total.elapsed <= 5 + AHEAD
        assert run.history.width == 1
        assert len(pack(d.LedgerKept((), total))) < 2_000
        scene.restarts()
        run = scene.core.runs["r1"]


def test_a_report_from_before_the_start_is_of_the_beginning():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("a", ready("a"))
    tally = hits(1)
    tally.elapsed = 1e11
    scene.says("a", m.Report("r1", "a/0", 1, tally))
    assert run.ledger.total.hits == 1
    assert run.ledger.total.elapsed == AHEAD


# -- whatever happens ----------------------------------------------------------------------------


@quick
@given(
    st.lists(events, max_size=20),
    st.integers(0, 20),
    st.sampled_from(ON_AGENT_LOSS),
    st.sampled_from([0, 50]),
)
def test_a_restored_broker_knows_what_the_one_before_knew(story, compacted, policy, gathered_from):
    """After any story: the same runs, ledgers, histories and results."""
    scene = Chaos(gathered_from=gathered_from)
    note("\n".join(map(str, story)))
    scene.play("runs", 2, policy)
    for number, event in enumerate(story):
        scene.play(*event)
        if number == compacted:
            for run_id in scene.core.runs:
                scene.storage.write(scene.core.compact(run_id))
    scene.now += scene.core.settings.publish_interval
    scene.feed(Tick())
    before = {run_id: run for run_id, run in scene.core.runs.items() if not run.is_check}
    scene.restarts()
    going = {run_id: run for run_id, run in before.items() if run.state != "ended"}
    restored = {r: run for r, run in scene.core.runs.items() if run.state != "ended"}
    assert restored.keys() == going.keys()
    for run_id, run in going.items():
        again = restored[run_id]
        assert essence(again) == essence(run)
        assert accounts(again.ledger) == accounts(run.ledger)
        assert again.ledger.total == run.ledger.total
        run.history.add(run.ledger.news.elapsed, run.ledger.news)
        assert numbers(again.history) == numbers(run.history)
    for run_id, run in before.items():
        if run.state == "ended":
            result = unpack(RunView, scene.storage.run(run_id).parts[d.RESULT])
            assert result == run.view(run.ledger.total)


@quick
@given(st.lists(events, max_size=20), st.integers(0, 20), st.sampled_from([0, 50]))
def test_what_was_acknowledged_is_never_lost(story, compacted, gathered_from):
    """Whenever the broker is killed; and what a console was told is a part of what is known."""
    scene = Chaos(gathered_from=gathered_from)
    note("\n".join(map(str, story)))
    scene.play("runs", 2, "continue")
    for number, event in enumerate(story):
        scene.play(*event)
        if number == compacted:
            for run_id in scene.core.runs:
                scene.storage.write(scene.core.compact(run_id))
    told = {run_id: view.tally.hits for run_id, view in scene.shown.items()}
    scene.restarts()
    for run_id, run in scene.core.runs.items():
        lasts = {worker: account.last for worker, account in run.ledger.accounts.items()}
        acknowledged = {w: last for (r, w), last in scene.acknowledged.items() if r == run_id}
        assert all(lasts[worker] >= last for worker, last in acknowledged.items())
        assert run.ledger.total.hits == sum(a.hits for a in run.ledger.accounts.values())
        assert run.ledger.total.hits >= told.get(run_id, 0)


@quick
@given(
    st.lists(
        events
        | st.tuples(
            st.just("restarts"),
            st.sampled_from([1.0, 30.0]),
            st.sampled_from([0.0, 3600.0, -3600.0]),
        ),
        max_size=25,
    ),
    st.sampled_from(ON_AGENT_LOSS),
    st.sampled_from([0, 50]),
)
def test_every_run_ends_although_brokers_are_killed(story, policy, gathered_from):
    scene = Chaos(gathered_from=gathered_from, epoch=EPOCH)
    note("\n".join(map(str, story)))
    scene.play("runs", 2, policy)
    for event in story:
        scene.play(*event)
    scene.passes(60)
    assert [run.run_id for run in scene.core.runs.values() if run.state != "ended"] == []
    assert scene.storage.open_runs() == []
    assert scene.core.agents == {}


def test_a_handover_is_stored_before_anybody_is_asked():
    """A broker that is killed right after it has asked knows that it did."""
    scene = Scene()
    scene.runs("a", "b", on_agent_loss="redistribute")
    told = scene.says("a", m.Bye("it was asked to"))
    assert any(isinstance(getattr(action, "message", None), m.Extend) for action in told)
    before = essence(scene.core.runs["r1"])
    scene.restarts()
    run = scene.core.runs["r1"]
    assert essence(run) == before
    assert run.parts["a"].handed_over
    assert len(run.parts["b"].extensions) == 1


def test_what_a_storage_missed_is_all_there_again():
    """Nothing was written for a while; then all that is known is, and a restart finds it."""
    scene = Scene()
    scene.runs("a", run_id="r1")
    scene.runs("b", run_id="r2")
    kept = scene.storage
    scene.storage = type(kept)()
    scene.says("a", report("a/0", 1, 3))
    scene.ends("b", "r2")
    scene.prepares("c", run_id="r3")
    scene.storage = kept
    scene.storage.write(scene.core.everything())
    runs = dict(scene.core.runs)
    scene.restarts()
    assert sorted(scene.core.runs) == ["r1", "r3"]
    for run_id in ("r1", "r3"):
        assert essence(scene.core.runs[run_id]) == essence(runs[run_id])
        assert accounts(scene.core.runs[run_id].ledger) == accounts(runs[run_id].ledger)
    assert scene.core.runs["r3"].bundle == b"bundle"
    (answer,) = scene.asks(m.GetRun(1, "r2"))
    assert answer.message.view == runs["r2"].view(runs["r2"].ledger.total)


def test_what_is_stored_comes_with_what_is_said():
    """The shell stores first: so the two have to come out of the same event."""
    scene = Scene()
    scene.registers("a")
    told = scene.core.handle(_submitted(), scene.now)
    kinds = [type(action.record) for action in told if isinstance(action, Store)]
    assert kinds == [SaveRun, SavePart]
    assert scene.to("a", prepare(plan(1))) in told


def _submitted():
    from loads.broker.actions import FromClient

    return FromClient(b"client", submit(plan(1)), "r1")


def test_a_registration_alone_stores_nothing():
    scene = Scene()
    scene.says("a", register("a"))
    scene.passes(30, "a")
    assert scene.storage.size() == 0


def ended_run(scene: Scene) -> Run:
    """A run of three hits that has ended."""
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 3))
    scene.ends("a")
    return run


def test_the_history_of_a_run_that_has_ended_is_left_to_the_storage():
    scene = Scene()
    run = ended_run(scene)
    assert numbers(run.history) == {}
    scene.storage.write(scene.core.everything())
    stored = scene.storage.run("r1")
    assert numbers(d.history_in(stored.parts)) == dict.fromkeys(hits(1).series, 3)


def test_but_not_while_that_fails():
    scene = Scene()
    scene.feed(StorageFailed("The disk is full."))
    run = ended_run(scene)
    scene.passes(60)
    scene.storage = MemoryStorage()
    scene.storage.write(scene.core.everything())
    stored = scene.storage.run("r1")
    assert numbers(d.history_in(stored.parts)) == dict.fromkeys(hits(1).series, 3)
    scene.feed(StorageWorks())
    assert numbers(run.history) == {}
