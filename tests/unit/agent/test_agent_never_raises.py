"""Whatever its broker says and its workers do, an agent raises nothing and can leave."""

from __future__ import annotations

from hypothesis import given, note
from hypothesis import strategies as st

from loads.agent.actions import (
    BoxLoad,
    ExtensionFailed,
    ExtensionReady,
    FromBroker,
    Leave,
    LoadFailed,
    Measured,
    Terminate,
    Tick,
    ToBroker,
    WorkersReady,
)
from loads.errors import ExitCode
from loads.plan import ON_AGENT_LOSS, RunPlan
from loads.protocol import messages as m
from tests.unit.agent.scene import Scene, delta
from tests.unit.strategies import quick

run_ids = st.sampled_from(["r1", "r1", "r2"])
names = st.sampled_from(["a/0", "a/1", "a/1.0"])
attempts = st.integers(1, 3)
plans = st.builds(
    lambda policy: RunPlan("shop", agents=1, on_agent_loss=policy), st.sampled_from(ON_AGENT_LOSS)
)
from_broker = st.one_of(
    st.builds(m.Welcome, st.just(1.0), st.just(10.0), attempts),
    st.builds(m.WelcomeBack, st.just(1.0), st.just(10.0), attempts),
    st.just(m.WhoAreYou()),
    st.just(m.Heartbeat()),
    st.builds(m.Prepare, run_ids, plans, st.just("digest"), st.just(b"")),
    st.builds(m.Start, run_ids, st.just(0.1)),
    st.builds(m.Extend, run_ids, st.integers(1, 2), plans),
    st.builds(m.StopLoad, run_ids, st.just(1.0)),
    st.builds(m.Acknowledge, run_ids, names, st.integers(0, 3)),
    st.builds(m.Release, run_ids),
)
ended = st.sampled_from(["", "", "finished", "stopped", "lost"])
happenings = st.one_of(
    st.builds(FromBroker, from_broker),
    st.builds(FromBroker, from_broker),
    st.just(WorkersReady(("a/0", "a/1"))),
    st.just(LoadFailed(2, "no such test", "")),
    st.builds(ExtensionReady, st.integers(1, 2), st.just(("a/1.0",))),
    st.builds(ExtensionFailed, st.integers(1, 2), st.just("no memory")),
    st.builds(lambda n, s, e: Measured(delta(n, s, ended=e)), names, st.integers(1, 3), ended),
    st.just(BoxLoad(0.5)),
    st.just(Tick()),
    st.sampled_from([1.0, 11.0, 31.0]),
)


@quick
@given(st.lists(happenings, max_size=30))
def test_an_agent_can_always_leave(story):
    scene = Scene()
    note("\n".join(map(str, story)))
    for happening in story:
        if isinstance(happening, float):
            scene.passes(happening, broker=False)
        else:
            scene.feed(happening)
    scene.feed(Terminate("asked"))
    actions = scene.feed(Terminate("asked again"))
    assert any(isinstance(action, Leave) for action in actions)
    assert all(action.code == ExitCode.OK for action in actions if isinstance(action, Leave))


@quick
@given(st.lists(happenings, max_size=20))
def test_an_agent_sends_nothing_that_its_dialogue_forbids_and_stops_a_headless_load(story):
    scene = Scene()
    for happening in story:
        if not isinstance(happening, float):
            scene.feed(happening)
    run = scene.core.run
    scene.passes(45, broker=False)
    if run is not None and scene.core.run is run:
        assert run.abandoned or isinstance(run.last_word, m.CannotRun)
    assert all(
        isinstance(action.message, m.Register)
        for action in scene.passes(5, broker=False)
        if isinstance(action, ToBroker)
    )
