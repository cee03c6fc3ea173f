"""Which agents a run gets, and what is said when there are too few."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loads.broker.actions import ToClient
from loads.errors import ExitCode
from loads.protocol import messages as m
from tests.unit.broker.scene import CLIENT, Scene, plan, prepare, submit, told


def test_a_run_is_given_to_the_idle_agents_with_most_workers():
    scene = Scene()
    for name, workers in (("small", 1), ("big", 8), ("middle", 4)):
        scene.registers(name, workers=workers)
    wanted = plan(agents=2)
    actions = scene.asks(submit(wanted, request=7))
    run = scene.core.runs["r1"]
    assert actions == [
        ToClient(CLIENT, m.Accepted(7, "r1")),
        scene.to("big", prepare(wanted)),
        scene.to("middle", prepare(wanted)),
        scene.published(run),
    ]
    assert [agent.state for agent in run.view(run.ledger.total).agents] == ["preparing"] * 2


def test_agents_alike_are_taken_by_name_so_that_a_choice_can_be_repeated():
    scene = Scene()
    for name in "cab":
        scene.registers(name)
    scene.asks(submit(plan(agents=2)))
    assert list(scene.core.runs["r1"].parts) == ["a", "b"]


@pytest.mark.parametrize(
    ("idle", "busy", "wanted", "message", "hint"),
    [
        (
            0, 0, 1,
            "The run asks for 1 agent, and the broker has 0 idle.",
            "Start more with loads-agent, ask for fewer with -a.",
        ),
        (
            1, 0, 3,
            "The run asks for 3 agents, and the broker has 1 idle.",
            "Start more with loads-agent, ask for fewer with -a.",
        ),
        (
            1, 2, 2,
            "The run asks for 2 agents, and the broker has 1 idle and 2 busy.",
            "Start more with loads-agent, ask for fewer with -a, or wait until others are done "
            "with --wait-for-agents.",
        ),
    ],
    ids=["no agent at all", "too few", "enough, but some are busy"],
)  # fmt: skip
def test_too_few_agents(idle, busy, wanted, message, hint):
    scene = Scene()
    if busy:
        scene.runs(*(f"busy{i}" for i in range(busy)), run_id="other")
    for i in range(idle):
        scene.registers(f"idle{i}")
    refused = m.Refused(1, int(ExitCode.AGENTS), message, hint)
    assert scene.asks(submit(plan(agents=wanted))) == [ToClient(CLIENT, refused)]
    assert "r1" not in scene.core.runs


def test_an_agent_that_is_done_is_idle_again():
    scene = Scene()
    scene.runs("a")
    scene.ends("a")
    scene.runs("a", run_id="r2")


def test_ping_tells_how_many_agents_and_runs_there_are():
    scene = Scene(version="2.0", backend="tcp://b:1", publisher="tcp://b:2")
    scene.runs("a", "b")
    scene.registers("c")
    pong = m.Pong(5, "2.0", "tcp://b:1", "tcp://b:2", agents=3, idle_agents=1, runs=1)
    assert scene.asks(m.Ping(5)) == [ToClient(CLIENT, pong)]
    scene.ends("a")
    scene.ends("b")
    assert told(scene.asks(m.Ping(6)))[0].message.idle_agents == 3
    assert told(scene.asks(m.Ping(6)))[0].message.runs == 0


def test_what_is_no_request_gets_no_reply():
    assert Scene().asks(m.Accepted(1, "r1")) == []


@pytest.mark.parametrize("question", [m.GetRun(3, "r9"), m.StopRun(3, "r9", 0)])
def test_a_run_that_is_not_known(question):
    said = m.Refused(
        3, int(ExitCode.USAGE), "The broker knows no run r9.", "It may have been forgotten."
    )
    assert Scene().asks(question) == [ToClient(CLIENT, said)]


def test_agents_can_be_asked_for_by_name():
    scene = Scene()
    for name in "abc":
        scene.registers(name)
    scene.asks(replace(submit(plan(agents=1)), on=("b",)))
    assert list(scene.core.runs["r1"].parts) == ["b"]


@pytest.mark.parametrize(
    ("name", "message"), [("b", "Agent b is busy."), ("z", "There is no agent z.")]
)
def test_an_agent_that_is_asked_for_and_cannot_be_had(name, message):
    scene = Scene()
    scene.runs("b", run_id="other")
    scene.registers("a")
    (said,) = scene.asks(replace(submit(plan(agents=1)), on=(name,)))
    assert (said.message.code, said.message.message) == (ExitCode.AGENTS, message)
    assert "r1" not in scene.core.runs
