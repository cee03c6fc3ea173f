"""Runs that wait for agents: their order, what they are told, and how they leave the queue."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.broker.actions import ToClient
from loads.errors import ExitCode
from loads.metrics.summary import QueueView
from loads.protocol import messages as m
from loads.protocol.codec import plan_size
from tests.unit.broker.scene import CLIENT, Scene, plan, prepare, ready, submit, told
from tests.unit.strategies import quick


def waits(scene: Scene, *run_ids: str, agents: int = 1, patience: float | None = None) -> None:
    """These runs are submitted and may wait."""
    for run_id in run_ids:
        scene.asks(submit(plan(agents=agents), patience=patience), run_id)


def places(scene: Scene) -> dict[str, int]:
    return {i: run.queue.place for i, run in scene.core.runs.items() if run.queue is not None}


def test_a_run_that_may_wait_starts_at_once_where_there_are_agents():
    scene = Scene()
    scene.registers("a")
    actions = scene.asks(submit(plan(), patience=60.0))
    run = scene.core.runs["r1"]
    assert actions == [
        ToClient(CLIENT, m.Accepted(1, "r1")),
        scene.to("a", prepare(plan())),
        scene.published(run),
    ]
    assert run.state == "preparing"


def test_a_run_that_waits_is_told_where_it_is():
    scene = Scene()
    scene.registers("a")
    actions = scene.asks(submit(plan(agents=2), patience=60.0))
    run = scene.core.runs["r1"]
    assert actions == [ToClient(CLIENT, m.Accepted(1, "r1")), scene.published(run)]
    view = run.view(run.ledger.total)
    assert (view.state, view.queue) == ("queued", QueueView(place=1, length=1, idle=1))
    waits(scene, "r2")
    assert run.queue == QueueView(1, 2, 1)
    assert scene.core.runs["r2"].queue == QueueView(2, 2, 1)


def test_the_head_of_the_queue_starts_when_there_are_enough_agents():
    scene = Scene()
    waits(scene, "r1", agents=2)
    waits(scene, "r2")
    scene.registers("a")
    assert places(scene) == {"r1": 1, "r2": 2}
    actions = scene.registers("b")
    assert scene.to("a", prepare(plan(agents=2))) in actions
    assert scene.to("b", prepare(plan(agents=2))) in actions
    assert places(scene) == {"r2": 1}


def test_nobody_overtakes_in_the_queue():
    """The second run could have the idle agent; the first one would then wait for ever."""
    scene = Scene()
    scene.registers("a")
    waits(scene, "large", agents=2)
    waits(scene, "small")
    assert scene.core.runs["small"].state == "queued"


def test_nobody_overtakes_from_outside_of_the_queue():
    scene = Scene()
    scene.registers("a")
    waits(scene, "large", agents=2)
    said = m.Refused(
        1,
        int(ExitCode.AGENTS),
        "1 run waits for agents, and nobody overtakes.",
        "Join the queue with --wait-for-agents, or try again later.",
    )
    assert scene.asks(submit(plan()), "small") == [ToClient(CLIENT, said)]


def test_a_check_of_an_idle_agent_does_not_queue():
    scene = Scene()
    scene.registers("a")
    waits(scene, "large", agents=2)
    scene.asks(replace(submit(plan()), on=("a",)), "check")
    assert scene.core.runs["check"].state == "preparing"
    assert scene.core.runs["large"].queue == QueueView(1, 1, 0)


def test_an_agent_that_is_done_serves_the_next():
    scene = Scene()
    scene.runs("a", run_id="r1")
    waits(scene, "r2", "r3")
    for done, following in (("r1", "r2"), ("r2", "r3")):
        scene.ends("a", done)
        assert scene.core.runs[done].status == "finished"
        assert scene.core.runs[following].state == "preparing"
        scene.says("a", ready("a", following))
    assert places(scene) == {}


def test_an_agent_that_fails_a_run_is_given_the_next():
    scene = Scene()
    scene.prepares("a")
    waits(scene, "r2")
    scene.says("a", m.CannotRun("r1", 2, "There is no module shop."))
    assert scene.core.runs["r2"].state == "preparing"


def test_a_run_that_is_stopped_leaves_the_queue():
    scene = Scene()
    waits(scene, "r1", "r2", "r3")
    actions = scene.asks(m.StopRun(2, "r2", 30.0))
    run = scene.core.runs["r2"]
    assert (run.state, run.status) == ("ended", "stopped")
    assert told(actions)[0].message.view.exit_code == ExitCode.INTERRUPTED
    assert places(scene) == {"r1": 1, "r3": 2}
    scene.registers("a")
    assert scene.core.runs["r1"].state == "preparing"


def test_patience_comes_to_an_end():
    scene = Scene()
    scene.registers("a")
    waits(scene, "r1", agents=2, patience=20.0)
    waits(scene, "r2")
    scene.passes(19, "a")
    assert scene.core.runs["r1"].state == "queued"
    scene.passes(1, "a")
    run = scene.core.runs["r1"]
    assert (run.status, run.error_code) == ("failed", ExitCode.AGENTS)
    assert run.error == "No agents for it in time: the run needs 2, and 1 is idle."
    assert scene.core.runs["r2"].state == "preparing", "it was only waiting for its turn"


def test_who_waits_without_a_limit_is_never_given_up():
    scene = Scene()
    waits(scene, "r1")
    scene.passes(100)
    assert scene.core.runs["r1"].state == "queued"
    assert scene.core.runs["r1"].deadline == math.inf


def test_consoles_of_a_run_that_waits_hear_that_the_broker_is_there():
    scene = Scene(queue_interval=1.0)
    waits(scene, "r1")
    before = scene.core.runs["r1"].number
    scene.passes(10)
    assert scene.core.runs["r1"].number == before + 10


def test_the_queue_is_full():
    scene = Scene(max_queued_runs=2)
    waits(scene, "r1", "r2")
    (said,) = scene.asks(submit(plan(), patience=None), "r3")
    assert said.message.code == ExitCode.AGENTS
    assert said.message.message == "The queue is full: 2 runs wait for agents."
    assert "r3" not in scene.core.runs


def test_equal_bundles_are_held_once_and_their_bytes_are_bounded():
    scene = Scene(max_queued_bytes=20 + 6 * plan_size(plan()))
    for number in range(5):
        copy = bytes(bytearray(b"0123456789"))
        scene.asks(m.Submit(1, plan(), "d1", copy, None), f"r{number}")
    assert len({id(run.bundle) for run in scene.core.runs.values()}) == 1
    scene.asks(m.Submit(1, plan(), "d2", b"9876543210", None), "other")
    (said,) = scene.asks(m.Submit(1, plan(), "d3", b"x", None), "more")
    assert said.message.code == ExitCode.AGENTS
    assert "The queue is full: the tests that wait take 0 MB." in said.message.message


def test_plans_and_what_observers_are_told_take_room_as_well():
    large = plan(env={"A": "x" * 10_000})
    wish = m.Wish("irc", (("topic", "x" * 10_000),))
    most = 3 * plan_size(large) + len(b"bundle") + 10_005
    scene = Scene(max_queued_bytes=most, observers=frozenset({"irc"}))
    submitted = m.Submit(1, large, "digest", b"bundle", None, observers=(wish,))
    scene.asks(submitted, "r1")
    scene.asks(submit(large, patience=None), "r2")
    scene.asks(submit(large, patience=None), "r3")
    (said,) = scene.asks(submit(plan(), patience=None), "r4")
    assert said.message.code == ExitCode.AGENTS
    assert "The queue is full: the tests that wait take 0 MB." in said.message.message
    assert list(scene.core.runs) == ["r1", "r2", "r3"]


@pytest.mark.parametrize("patience", [0.0, None])
def test_a_plan_that_is_too_large_is_refused_in_so_many_words(patience):
    scene = Scene()
    scene.registers("a")
    large = plan(env={str(number): "x" * 20_000 for number in range(60)})
    (said,) = scene.asks(submit(large, patience=patience))
    assert said.message.code == ExitCode.USAGE
    assert said.message.message.startswith("The plan takes 1,20")
    assert not scene.core.runs


def test_a_bundle_is_held_no_longer_than_it_is_needed():
    scene = Scene()
    waits(scene, "r1", "r2")
    scene.registers("a")
    runs = scene.core.runs
    assert runs["r1"].bundle == runs["r2"].bundle == b"bundle"
    scene.says("a", ready("a"))
    assert (runs["r1"].state, runs["r1"].bundle) == ("running", b"")
    scene.asks(m.StopRun(2, "r2", 0.0))
    assert (runs["r2"].state, runs["r2"].bundle) == ("ended", b"")


def test_a_bundle_that_lies_about_its_digest_does_not_take_anothers_place():
    scene = Scene()
    scene.asks(m.Submit(1, plan(), "digest", b"mine", None), "r1")
    scene.asks(m.Submit(1, plan(), "digest", b"yours", None), "r2")
    for name, bundle in (("a", b"mine"), ("b", b"yours")):
        sent = [action.message for action in told(scene.registers(name))]
        assert [m_.bundle for m_ in sent if isinstance(m_, m.Prepare)] == [bundle]


def test_a_purge_stops_all_and_starts_none_of_those_that_wait():
    scene = Scene()
    scene.prepares("a")
    waits(scene, "r2", "r3")
    actions = scene.asks(m.Purge(9))
    purged = next(a.message for a in actions if isinstance(a, ToClient))
    assert purged == m.Purged(9, ("r1", "r2", "r3"))
    assert {run.status for run in scene.core.runs.values()} == {"stopped"}
    assert not [a for a in told(actions) if isinstance(a.message, m.Prepare)]


# -- runs that lose an agent before the start ------------------------------------------------------


def lost_before_the_start(scene: Scene, how: str) -> list:
    """Agent ``b``, which was chosen for a run, is gone."""
    if how == "leaves":
        return scene.says("b", m.Bye("it was asked to"))
    if how == "restarts":
        scene.says("b", ready("b"))
        return scene.registers("b")
    if how == "dies":
        return scene.passes(11, "a")
    assert how == "has no worker left"
    return scene.says("b", ready("b"), m.Finished("r1"))


@pytest.mark.parametrize(
    ("how", "said", "is_ready"),
    [
        ("leaves", "left: it was asked to", False),
        ("leaves", "left: it was asked to", True),
        ("dies", "was silent for 11 s", False),
        ("dies", "was silent for 11 s", True),
        ("restarts", "was restarted", False),
        ("has no worker left", "has no worker left", False),
    ],
)
def test_a_run_that_may_wait_waits_for_another_agent(how, said, is_ready):
    scene = Scene()
    for name in ("a", "b"):
        scene.registers(name)
    waits(scene, "r1", agents=2, patience=100.0)
    waits(scene, "r2")
    run = scene.core.runs["r1"]
    if is_ready:
        scene.says("a", ready("a"))
    actions = lost_before_the_start(scene, how)
    assert scene.to("a", m.Release("r1")) in actions
    assert f"Run r1 waits for agents again. Agent b {said} before the start." in scene.logs
    if how in ("leaves", "dies"):
        assert places(scene) == {"r1": 1, "r2": 2}
        assert (run.parts, run.ledger.accounts, run.deadline) == ({}, {}, 1100.0)
        actions = scene.registers("c")
    again = m.Prepare("r1", plan(agents=2), "digest", b"bundle", 1)
    assert scene.to("a", again) in actions
    assert places(scene) == {"r2": 1}
    for name in run.parts:
        scene.says(name, m.Ready("r1", (f"{name}/0", f"{name}/1"), 1))
    assert run.state == "running"
    for name in list(run.parts):
        scene.ends(name)
    assert run.status == "finished"
    assert scene.core.runs["r2"].state == "preparing"


def test_whoever_follows_it_sees_the_agents_that_it_has_now():
    scene = Scene()
    for name in ("a", "b"):
        scene.registers(name)
    waits(scene, "r1", agents=2)
    run = scene.core.runs["r1"]
    before = run.number
    scene.says("b", m.Bye())
    assert run.number == before + 2, "a gap, for which consoles ask for the whole"
    assert scene.shown["r1"].agents == ()
    scene.registers("c")
    assert [agent.agent_id for agent in scene.shown["r1"].agents] == ["a", "c"]


def test_a_run_that_may_not_wait_fails_as_before():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("b", m.Bye())
    assert (run.status, run.error) == ("failed", "Agent b left before the start.")


def test_a_run_whose_patience_is_over_fails_as_one_that_may_not_wait():
    scene = Scene(prepare_timeout=120)
    scene.registers("a")
    waits(scene, "r1", patience=20.0)
    scene.passes(20, "a")
    scene.says("a", m.Bye())
    run = scene.core.runs["r1"]
    assert (run.status, run.error) == ("failed", "Agent a left before the start.")


def test_a_run_that_waits_again_has_no_more_patience_than_it_had():
    scene = Scene()
    scene.registers("a")
    waits(scene, "r1", patience=20.0)
    scene.passes(15, "a")
    scene.says("a", m.Bye())
    run = scene.core.runs["r1"]
    scene.passes(4)
    assert run.state == "queued"
    scene.passes(1)
    assert (run.status, run.error_code) == ("failed", ExitCode.AGENTS)


def test_a_test_that_ends_its_agents_does_not_get_all_that_there_are():
    scene = Scene()
    waits(scene, "r1")
    run = scene.core.runs["r1"]
    for number in range(6):
        scene.registers(f"a{number}")
        assert run.state == "preparing"
        scene.says(f"a{number}", m.Bye())
    assert (run.status, run.error) == ("failed", "Agent a5 left before the start.")


def test_a_run_that_cannot_be_run_does_not_wait_for_another_agent():
    scene = Scene()
    scene.registers("a")
    waits(scene, "r1")
    scene.says("a", m.CannotRun("r1", 2, "There is no module shop."))
    assert scene.core.runs["r1"].error == "There is no module shop."


def test_a_run_that_waits_again_can_be_stopped():
    scene = Scene()
    scene.registers("a")
    waits(scene, "r1")
    scene.says("a", m.Bye())
    scene.asks(m.StopRun(2, "r1", 0.0))
    assert scene.core.runs["r1"].status == "stopped"


def test_who_was_ready_before_a_run_waited_again_is_waited_for():
    """It says so as it is released, and is told to prepare the same run once more."""
    scene = Scene()
    for name in ("a", "b", "c"):
        scene.registers(name)
    waits(scene, "r1", agents=2)
    run = scene.core.runs["r1"]
    scene.says("b", m.Bye())
    assert sorted(run.parts) == ["a", "c"]
    assert scene.says("a", ready("a")) == []
    assert run.parts["a"].state == "preparing"
    for name in ("a", "c"):
        scene.says(name, m.Ready("r1", (f"{name}/0", f"{name}/1"), 1))
    assert run.state == "running"


def test_who_was_out_of_reach_while_the_run_waited_again_is_another_agent_for_it():
    scene = Scene()
    for name in ("a", "b"):
        scene.registers(name)
    waits(scene, "r1", agents=2)
    scene.says("b", ready("b"))
    scene.passes(11, "a")
    run = scene.core.runs["r1"]
    assert run.state == "queued"
    actions = scene.reconnects("b", "r1")
    assert actions[0] == scene.to("b", m.Welcome(1.0, 10.0)), "it forgets what it had of the run"
    assert scene.to("b", m.Prepare("r1", plan(agents=2), "digest", b"bundle", 1)) in actions


@quick
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_all_runs_start_in_the_order_in_which_they_came(sizes, agents):
    """Whatever they ask for, as long as the cluster has it; with as many idle as can be."""
    sizes = [min(size, agents) for size in sizes]
    scene, names = Scene(), [f"a{i}" for i in range(agents)]
    for name in names:
        scene.registers(name)
    runs = [f"r{i}" for i in range(len(sizes))]
    for run_id, size in zip(runs, sizes, strict=True):
        waits(scene, run_id, agents=size)
    for number, run_id in enumerate(runs):
        run = scene.core.runs[run_id]
        assert run.state == "preparing"
        assert all(scene.core.runs[later].state != "ended" for later in runs[number:])
        for name in list(run.parts):
            scene.says(name, ready(name, run_id))
        for name in list(run.parts):
            scene.ends(name, run_id)
        assert run.status == "finished"
    assert scene.core.runs[runs[-1]].status == "finished"
