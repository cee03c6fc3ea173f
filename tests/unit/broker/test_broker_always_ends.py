"""Whatever agents and clients say, nothing is raised, and every run ends."""

from __future__ import annotations

from hypothesis import given, note
from hypothesis import strategies as st

from loads.broker.actions import FromAgent, Unwelcome
from loads.plan import ON_AGENT_LOSS
from loads.protocol import messages as m
from tests.unit.broker.scene import Scene, plan, register, report, submit
from tests.unit.strategies import quick

NAMES = ("a", "b")
MINE = "its run"  #: stands for the run that the broker has given to the agent who speaks

names = st.sampled_from(NAMES)
run_ids = st.sampled_from([MINE, MINE, MINE, "r0", "r1", "none"])
workers = st.sampled_from([f"{name}/{i}" for name in NAMES for i in (0, 1)])
reports = st.builds(
    lambda run_id, worker, sequence, ended: report(worker, sequence, 1, run_id, ended=ended),
    run_ids,
    workers,
    st.integers(1, 3),
    st.sampled_from(["", "", "finished", "stopped", "lost"]),
)
from_agent = st.one_of(
    reports,
    st.builds(m.Finished, run_ids),
    st.builds(m.CannotRun, run_ids, st.integers(0, 9), st.just("It cannot.")),
    st.builds(m.Ready, run_ids, st.lists(workers, min_size=1, unique=True).map(tuple)),
    st.builds(
        m.Extended,
        run_ids,
        st.integers(1, 3),
        st.lists(st.sampled_from(["a/1.0", "b/1.0", "a/0"]), max_size=2, unique=True).map(tuple),
    ),
    st.builds(m.Bye),
    st.builds(m.Heartbeat),
)
events = st.one_of(
    st.tuples(st.just("says"), names, from_agent),
    st.tuples(st.just("says"), names, from_agent),
    st.tuples(st.just("ready"), names),
    st.tuples(st.just("registers"), names, st.sampled_from(["", MINE, "r0"]), st.booleans()),
    st.tuples(st.just("runs"), st.integers(1, 2), st.sampled_from(ON_AGENT_LOSS), st.booleans()),
    st.tuples(st.just("waits"), st.integers(1, 3), st.sampled_from([0.5, 5.0, 20.0])),
    st.tuples(st.just("checks"), names),
    st.tuples(st.just("lists"), st.sampled_from([m.ListRuns(1), m.ListAgents(1), m.Purge(1, 3.0)])),
    st.tuples(st.just("asks"), st.builds(m.StopRun, st.just(1), run_ids, st.sampled_from([0, 9]))),
    st.tuples(st.just("asks"), st.builds(m.GetRun, st.just(1), run_ids)),
    st.tuples(st.just("passes"), st.sampled_from([0.1, 1, 6, 11])),
    st.tuples(st.just("stands_still"), st.sampled_from([0.5, 4.0, 25.0])),
    st.tuples(st.just("impostor"), names, names),
    st.tuples(st.just("stranger"), names),
    st.tuples(st.just("orphan"), names, workers, st.integers(0, 9)),
)


class Chaos(Scene):
    """Plays events that make some sense, or none."""

    def __init__(self, **settings) -> None:
        super().__init__(
            orphan_timeout=20.0,
            prepare_timeout=30,
            stop_slack=5,
            kept_runs=3,
            return_timeout=20,
            **settings,
        )
        self.submitted = 0

    def its_run(self, name: str) -> str:
        agent = self.core.agents.get(name)
        return agent.run_id if agent and agent.run_id else "none"

    def play(self, kind: str, *details) -> None:
        getattr(self, f"play_{kind}")(*details)

    def play_says(self, name: str, message: m.Message) -> None:
        if getattr(message, "run_id", "") == MINE:
            message = type(message)(**{**vars(message), "run_id": self.its_run(name)})
        self.says(name, message)

    def play_ready(self, name: str) -> None:
        agent = self.core.agents.get(name)
        turn = agent.link.turn if agent else 0
        self.says(name, m.Ready(self.its_run(name), (f"{name}/0", f"{name}/1"), turn))

    def play_registers(self, name: str, run_id: str, moved: bool) -> None:
        run_id = self.its_run(name) if run_id == MINE else run_id
        self.peers.setdefault(name, name.encode())
        if moved:
            self.reconnects(name, run_id)
        else:
            self.registers(name, run_id)

    def play_runs(self, agents: int, policy: str, by_duration: bool = False) -> None:
        for name in NAMES[:agents]:
            if name not in self.core.agents:
                self.registers(name)
        length = {"duration": 3.0} if by_duration else {"hits": (50,)}
        self.asks(
            submit(plan(agents, grace=1, on_agent_loss=policy, **length)), f"r{self.submitted}"
        )
        self.submitted += 1

    def play_waits(self, agents: int, patience: float) -> None:
        self.asks(submit(plan(agents, grace=1), patience=patience), f"r{self.submitted}")
        self.submitted += 1

    def play_checks(self, name: str) -> None:
        self.asks(m.Submit(1, plan(1), "digest", b"bundle", on=(name,)), f"r{self.submitted}")
        self.submitted += 1

    def play_lists(self, message: m.Message) -> None:
        self.asks(message)

    def play_asks(self, message: m.Message) -> None:
        if message.run_id == MINE:
            message = type(message)(**{**vars(message), "run_id": f"r{self.submitted - 1}"})
        self.asks(message)

    def play_passes(self, seconds: float) -> None:
        self.passes(seconds)

    def play_stands_still(self, seconds: float) -> None:
        """The broker is not run for some time."""
        self.now += seconds

    def play_restarts(self, downtime: float = 1.0, clock_set: float = 0.0) -> None:
        self.restarts(downtime, clock_set)

    def play_impostor(self, name: str, other: str) -> None:
        """One agent registers under the other's name."""
        self.says(name, register(other, "", attempt=7))

    def play_orphan(self, name: str, worker: str, hits: int) -> None:
        words = m.LastWords(self.its_run(name), name, worker, hits, hits, 1)
        self.feed(FromAgent(b"a worker's", words))

    def play_stranger(self, name: str) -> None:
        self.feed(FromAgent(b"?", m.Heartbeat()))
        self.feed(Unwelcome(self.peers.get(name, b"?"), "Other version.", ""))


@quick
@given(st.lists(events, max_size=25), st.sampled_from(ON_AGENT_LOSS))
def test_every_run_ends_when_all_fall_silent(story, policy):
    scene = Chaos()
    note("\n".join(map(str, story)))
    scene.play("runs", 2, policy)
    for event in story:
        scene.play(*event)
    scene.passes(60)
    assert [run.run_id for run in scene.core.runs.values() if run.state != "ended"] == []
    assert len(scene.core.runs) <= 3
    assert scene.core.agents == {}
    assert scene.passes(1) == []


@quick
@given(
    st.lists(events, max_size=25),
    st.sampled_from(ON_AGENT_LOSS),
    st.lists(
        st.tuples(
            st.sampled_from(["away", "stands still", "restarts"]),
            st.sampled_from([0.5, 4.0, 11.0, 22.0]),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_every_run_by_duration_ends_although_its_agents_never_do(story, policy, faults):
    """They come and go, time and again, and the broker stands still: only the plan has an end.

    It is killed now and then: for ever, nobody does that.
    """
    scene = Chaos()
    note("\n".join(map(str, story)))
    scene.play("runs", 2, policy, True)
    for event in story:
        scene.play(*event)
    mine = [r for r, run in scene.core.runs.items() if run.plan.duration and run.state != "ended"]
    since = scene.now
    for number in range(40 * len(faults)):
        fault, seconds = faults[number % len(faults)]
        if fault == "stands still":
            scene.now += seconds
        elif fault == "restarts" and number < len(faults):
            scene.restarts(seconds)
        else:
            scene.passes(seconds)
        for name in NAMES:
            run_id = scene.its_run(name)
            if run_id == "none":  # it may be awaited, and says where it was
                runs = [scene.core.runs[r] for r in mine if r in scene.core.runs]
                run_id = next((run.run_id for run in runs if name in run.parts), "")
            scene.peers.setdefault(name, name.encode())
            scene.reconnects(name, run_id)
            scene.play_ready(name)
        scene.passes(6, *NAMES)
        if all(scene.core.runs[r].state == "ended" for r in mine if r in scene.core.runs):
            return
    raise AssertionError(f"they go on after {scene.now - since:.0f} s")
