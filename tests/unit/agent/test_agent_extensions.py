"""An agent that takes over what others had left."""

from __future__ import annotations

from loads.agent.actions import (
    DropExtension,
    ExtensionFailed,
    ExtensionReady,
    PrepareExtension,
    StartExtension,
    StopWorkers,
    Terminate,
    ToBroker,
    WorkersReady,
)
from loads.plan import RunPlan
from loads.protocol import messages as m
from tests.unit.agent.scene import (
    PLAN,
    WELCOME,
    WORKERS,
    Scene,
    acknowledge,
    delta,
    messages,
    report,
)

LEFT = RunPlan("shop.test_cart", agents=1, users=(2,), left=(7,))
EXTEND = m.Extend("r1", 1, LEFT)
MORE = ("a/1.0",)
TAKEN = m.Extended("r1", 1, MORE)


def extended(scene: Scene) -> Scene:
    """Workers of its own that have finished, and one that it took over."""
    scene.finished().hears(EXTEND)
    scene.feed(ExtensionReady(1, MORE))
    return scene


def test_a_load_that_is_taken_over_starts_as_soon_as_it_can():
    scene = Scene().running()
    assert scene.hears(EXTEND) == [PrepareExtension(1, LEFT)]
    assert scene.feed(ExtensionReady(1, MORE)) == [StartExtension(1), ToBroker(TAKEN)]
    assert scene.measures(delta(MORE[0], 1, 3)) == [report(MORE[0], 1, 3)]


def test_an_agent_that_had_finished_goes_on():
    scene = extended(Scene())
    assert scene.measures(delta(MORE[0], 1, ended="finished")) == [
        report(MORE[0], 1, ended="finished")
    ]
    assert scene.hears(acknowledge(MORE[0], 1)) == [ToBroker(m.Finished("r1"))]


def test_an_agent_has_not_finished_while_it_takes_over():
    scene = Scene().running()
    scene.hears(EXTEND)
    scene.measures(*(delta(w, 1, ended="finished") for w in WORKERS))
    assert scene.hears(*(acknowledge(w, 1) for w in WORKERS)) == []
    assert messages(scene.feed(ExtensionFailed(1, "no memory"))) == [
        m.Extended("r1", 1, (), "no memory"),
        m.Finished("r1"),
    ]


def test_a_request_that_is_repeated_is_answered_again_and_carried_out_once():
    scene = Scene().running()
    scene.hears(EXTEND)
    assert scene.hears(EXTEND) == []
    scene.feed(ExtensionReady(1, MORE))
    assert scene.hears(EXTEND) == [ToBroker(TAKEN)]
    assert scene.feed(ExtensionReady(1, MORE)) == []


def test_what_was_taken_over_is_said_again_to_a_broker_that_is_back():
    scene = extended(Scene())
    scene.measures(delta(MORE[0], 1, 3))
    scene.hears(m.WhoAreYou())
    assert messages(scene.is_welcome_back()) == [
        m.Ready("r1", WORKERS),
        TAKEN,
        report(MORE[0], 1, 3).message,
    ]


def test_nothing_is_taken_over_once_the_load_is_stopped():
    scene = Scene().running()
    scene.hears(EXTEND)
    assert scene.hears(m.StopLoad("r1", 5.0)) == [
        StopWorkers(5.0),
        DropExtension(1),
        ToBroker(m.Extended("r1", 1, (), "the run is being stopped")),
    ]
    assert scene.feed(ExtensionReady(1, MORE)) == []


def test_an_agent_that_is_about_to_leave_takes_nothing_over():
    scene = Scene().running()
    scene.feed(Terminate("it was asked to"))
    (drop, said) = scene.hears(EXTEND)
    assert drop == DropExtension(1)
    assert said.message == m.Extended("r1", 1, (), "it was asked to")


def test_an_agent_that_cannot_run_the_plan_takes_nothing_over():
    scene = Scene().preparing()
    scene.feed(ExtensionFailed(1, "never asked for"))
    assert scene.hears(EXTEND) == []


def test_others_take_over_so_the_load_is_kept_up_only_as_long_as_the_broker_waits():
    scene = Scene(orphan_timeout=30.0)
    plan = RunPlan("shop.test_cart", agents=1, on_agent_loss="redistribute")
    scene.registered().hears(m.Prepare("r1", plan, "digest", b"bundle"))
    assert PLAN.on_agent_loss == "continue"
    scene.feed(WorkersReady(WORKERS))
    scene.hears(m.Start("r1", 0.1))
    assert StopWorkers(0.0) not in scene.passes(10, broker=False)
    assert StopWorkers(0.0) in scene.passes(1, broker=False)


def test_what_was_lost_with_a_broken_run_is_forgotten():
    scene = extended(Scene())
    scene.hears(m.Release("r1"))
    assert scene.core.run is None
    scene.hears(m.WhoAreYou())
    assert scene.hears(WELCOME) == []
