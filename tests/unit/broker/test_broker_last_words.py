"""What workers say whose agent was killed."""

from __future__ import annotations

import pytest

from loads.broker.actions import FromAgent, ToAgent
from loads.metrics.tally import Tally
from loads.protocol import messages as m
from loads.protocol.roles import Role, Who
from tests.unit.broker.scene import Scene, ready, report
from tests.unit.broker.test_broker_handover import asked, own, ran, take_over

RELEASE = m.Release("r1")


def speaks(scene: Scene, who: str, hits: int, tests: int = 0, under_way: int = 0, **said):
    """A worker's last words come from an address of its own; what is done about them."""
    about = {"run_id": "r1", "agent_id": who[0], "worker": who, **said}
    words = m.LastWords(**about, hits=hits, tests=tests, under_way=under_way)
    return scene.feed(FromAgent(b"?" + who.encode(), words))


def bounds(run) -> list[tuple[int, int | None]]:
    return [(agent.hits, agent.unknown) for agent in run.view(run.ledger.total).agents]


def test_what_workers_did_after_their_last_report_is_known_and_nobody_waits_for_their_agent():
    scene = Scene(orphan_timeout=30.0)
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5))
    assert speaks(scene, "a/0", hits=12, under_way=2) == [ToAgent(b"?a/0", RELEASE)]
    assert run.state == "running", "another may speak as well"
    assert speaks(scene, "a/1", hits=1)[-1] == ToAgent(b"?a/1", RELEASE)
    assert (run.state, run.status, bounds(run)) == ("ended", "incomplete", [(5, 7 + 2 + 1)])
    assert run.view(Tally()).warnings == (
        "a/0 was killed with its agent: 7 hits were made after its last report, "
        "and up to 2 were under way",
        "a/1 was killed with its agent: 1 hit was made after its last report",
    )
    assert "a" not in scene.core.agents
    assert "Agent a is lost: it was killed." in scene.logs


def test_words_that_tell_of_nothing_new():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5))
    speaks(scene, "a/0", hits=5)
    speaks(scene, "a/1", hits=0, under_way=3)
    assert run.view(Tally()).warnings == (
        "a/0 was killed with its agent: all its hits are counted",
        "a/1 was killed with its agent: all its hits are counted but the 3 that were under way",
    )
    assert (run.status, bounds(run)) == ("incomplete", [(5, 3)])


def test_the_others_go_on():
    scene = Scene()
    run = scene.runs("a", "b")
    speaks(scene, "a/0", hits=1)
    speaks(scene, "a/1", hits=1)
    assert (run.state, run.parts["a"].state, run.parts["b"].state) == ("running", "lost", "running")
    scene.ends("b")
    assert (run.status, bounds(run)) == ("incomplete", [(0, 2), (0, 0)])


def test_a_worker_that_has_ended_before_is_not_waited_for():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5, ended="finished"))
    speaks(scene, "a/0", hits=50)
    speaks(scene, "a/1", hits=2)
    assert (run.ledger.accounts["a/0"].ended, run.state) == ("finished", "ended")
    assert bounds(run) == [(5, 2)]


def test_a_worker_that_stays_silent_leaves_its_agent_to_be_missed():
    """A second kill: that worker is as unknown as without any words."""
    scene = Scene()
    run = scene.runs("a")
    speaks(scene, "a/0", hits=2)
    scene.passes(9)
    assert run.state == "running"
    scene.passes(2)
    assert (run.state, bounds(run)) == ("ended", [(0, None)])
    reasons = [account.reason for account in run.ledger.accounts.values()]
    assert reasons == ["was killed with its agent", "is lost: agent a was silent for 11 s"]


@pytest.mark.parametrize("words_first", [False, True])
def test_reports_and_words_that_overtake_each_other_come_to_the_same(words_first):
    """Those that were in a connection when their agent died are counted, and unknown no more."""
    scene = Scene()
    run = scene.runs("a")
    said = [
        lambda: scene.says("a", report("a/0", 1, 5)),
        lambda: speaks(scene, "a/0", hits=12, under_way=2),
    ]
    for say in reversed(said) if words_first else said:
        say()
    account = run.ledger.accounts["a/0"]
    assert (account.hits, account.unknown, account.ended, account.users) == (5, 9, "lost", 0)
    assert account.reason == "was killed with its agent"


def test_words_that_are_repeated_change_nothing():
    scene = Scene()
    run = scene.runs("a", "b")
    for _ in range(3):
        assert speaks(scene, "a/0", hits=4)[-1] == ToAgent(b"?a/0", RELEASE)
    speaks(scene, "a/1", hits=0)
    speaks(scene, "a/0", hits=99)
    assert bounds(run) == [(0, 4), (0, 0)]


def test_who_was_missed_already_is_awaited_no_longer():
    """The agent was stopped for some time before it was killed."""
    scene = Scene(orphan_timeout=60.0)
    run = scene.runs("a")
    scene.passes(11)
    assert (run.state, run.parts["a"].state) == ("running", "lost")
    speaks(scene, "a/0", hits=3)
    assert run.state == "running"
    speaks(scene, "a/1", hits=4)
    assert (run.state, run.status, bounds(run)) == ("ended", "incomplete", [(0, 7)])


def test_abort_stops_the_run_at_once():
    scene = Scene()
    run = scene.runs("a", "b", on_agent_loss="abort")
    speaks(scene, "a/0", hits=1)
    assert run.state == "running"
    actions = speaks(scene, "a/1", hits=1)
    assert scene.to("b", m.StopLoad("r1", run.plan.grace)) in actions
    assert "The run was stopped, because agent a was killed." in run.view(Tally()).warnings


def test_only_what_was_not_done_goes_to_the_others():
    scene = Scene()
    run = scene.runs("a", "b", users=(4,), hits=(10,), on_agent_loss="redistribute")
    scene.says("a", ran("a/0", 1, 5))
    speaks(scene, "a/0", hits=0, tests=8, under_way=1)
    (extend,) = asked(speaks(scene, "a/1", hits=0, tests=6, under_way=2), "b")
    assert extend.plan.left == (40 - 8 - 6,)
    assert run.parts["a"].handed_over
    assert bounds(run) == [(0, 3), (0, 0)]


def test_a_load_that_nobody_has_heard_of_leaves_the_bound_open():
    """Its agent was killed when it had begun with it, and before it could say so."""
    scene = Scene()
    run = scene.runs("a", "b", "c", users=(4,), hits=(10,), on_agent_loss="redistribute")
    scene.says("a", m.Bye("the box shuts down"))
    speaks(scene, "b/1.0", hits=20)
    speaks(scene, "b/0", hits=1)
    speaks(scene, "b/1", hits=1)
    assert run.parts["b"].state == "lost"
    assert bounds(run)[1] == (0, None)


def test_workers_of_a_load_that_was_taken_over_speak_as_well():
    scene = Scene()
    run = scene.runs("a", "b", users=(4,), hits=(10,), on_agent_loss="redistribute")
    for worker in own("a"):
        speaks(scene, worker, hits=2)
    workers = take_over(scene, "b")
    for worker in (*own("b"), *workers):
        assert run.state == "running"
        speaks(scene, worker, hits=3)
    assert (run.status, bounds(run)) == ("incomplete", [(0, 4), (0, 12)])


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"run_id": "r9"}, id="of no run"),
        pytest.param({"agent_id": "z"}, id="of no agent"),
        pytest.param({"worker": "a/9"}, id="of no worker"),
        pytest.param({"worker": "b/0"}, id="of another agent's worker"),
    ],
)
def test_words_about_nothing_that_is_on_are_answered_and_have_no_effect(said):
    scene = Scene()
    run = scene.runs("a", "b")
    before = bounds(run)
    actions = speaks(scene, "a/0", hits=7, **said)
    assert actions == [ToAgent(b"?a/0", m.Release(said.get("run_id", "r1")))]
    assert (bounds(run), set(scene.core.agents)) == (before, {"a", "b"})
    assert run.ledger.open_sources == ["a/0", "a/1", "b/0", "b/1"]


def test_words_before_the_start_and_after_the_end_have_no_effect():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("a", ready("a"))
    assert speaks(scene, "a/0", hits=7) == [ToAgent(b"?a/0", RELEASE)]
    assert run.state == "preparing"
    scene.says("b", ready("b"))
    scene.ends("a")
    scene.ends("b")
    assert speaks(scene, "a/0", hits=7) == [ToAgent(b"?a/0", RELEASE)]
    assert (run.status, bounds(run)) == ("finished", [(0, 0), (0, 0)])


def test_who_has_finished_and_waits_is_not_lost():
    """Its workers have all ended; there is nobody who could speak, whatever is said."""
    scene = Scene()
    run = scene.runs("a", "b", on_agent_loss="redistribute")
    scene.ends("a")
    speaks(scene, "a/0", hits=7)
    assert (run.parts["a"].state, bounds(run)[0]) == ("waiting", (0, 0))


def test_another_key_is_not_heard():
    scene = Scene()
    run = scene.runs("a")
    words = m.LastWords("r1", "a", "a/0", 7, 7, 0)
    eve = Who("eve", Role.AGENT)
    assert scene.feed(FromAgent(b"?", words, who=eve)) == [ToAgent(b"?", RELEASE)]
    assert run.ledger.open_sources == ["a/0", "a/1"]


def test_an_agent_that_is_there_may_not_say_them():
    scene = Scene()
    run = scene.runs("a")
    assert scene.says("a", m.LastWords("r1", "a", "a/0", 7, 7, 0)) == []
    assert run.ledger.open_sources == ["a/0", "a/1"]
    assert "Agent a: The agent may not send LastWords when running." in scene.logs


@pytest.mark.parametrize("gathered_from", [0, 50], ids=["gathered", "one by one"])
def test_what_was_heard_outlasts_the_broker(gathered_from):
    scene = Scene(gathered_from=gathered_from)
    scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 5), report("a/1", 1, 1))
    speaks(scene, "a/0", hits=12, under_way=2)
    scene.restarts()
    run = scene.core.runs["r1"]
    assert (run.ledger.total.hits, run.ledger.accounts["a/0"].unknown) == (6, 9)
    assert run.awaited.keys() == {"a", "b"}
    speaks(scene, "a/1", hits=3)
    assert run.awaited.keys() == {"b"}
    assert (run.parts["a"].state, bounds(run)[0]) == ("lost", (6, 9 + 2))
    scene.restarts()
    assert bounds(scene.core.runs["r1"])[0] == (6, 9 + 2)


def test_an_agent_of_that_name_that_comes_back_all_the_same_breaks_nothing():
    scene = Scene(orphan_timeout=30.0)
    run = scene.runs("a", "b")
    for worker in own("a"):
        speaks(scene, worker, hits=4)
    scene.registers("a", "r1")
    scene.says("a", ready("a"), report("a/0", 1, 3), report("a/1", 1, 9, ended="finished"))
    assert bounds(run)[0] == (12, 1)
    scene.says("a", m.Finished("r1"))
    scene.ends("b")
    assert (run.state, run.status) == ("ended", "incomplete")
