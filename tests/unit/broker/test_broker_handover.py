"""What an agent's loss means is the plan's choice."""

from __future__ import annotations

import pytest

from loads.broker.actions import Tick, ToAgent
from loads.broker.handover import MOST_REFUSALS
from loads.errors import ExitCode
from loads.metrics.series import TEST, SeriesKey, Verdict
from loads.metrics.tally import Tally
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from tests.unit.broker.scene import WELCOME_BACK, Scene, ready, report

REDISTRIBUTE = {"on_agent_loss": "redistribute"}
WHOLE = {**REDISTRIBUTE, "users": (4,), "hits": (10,)}  #: 40 tests of each agent


def ran_tests(number: int) -> Tally:
    """A tally of so many tests."""
    tally = Tally()
    for _ in range(number):
        tally.line(SeriesKey(TEST, "test_cart")).record(1000, Verdict.SUCCESS)
    return tally


def ran(worker: str, sequence: int, number: int, **said) -> m.Report:
    return m.Report("r1", worker, sequence, ran_tests(number), **said)


def asked(actions, name: str) -> list[m.Extend]:
    """What an agent is asked to take over."""
    peer = name.encode()
    return [
        action.message
        for action in actions
        if isinstance(action, ToAgent)
        and action.peer.rstrip(b"'") == peer
        and isinstance(action.message, m.Extend)
    ]


def take_over(scene: Scene, name: str, number: int = 1) -> tuple[str, ...]:
    workers = (f"{name}/{number}.0", f"{name}/{number}.1")
    scene.says(name, m.Extended("r1", number, workers))
    return workers


def finish(scene: Scene, name: str, *workers: str, **said) -> None:
    """Workers end without a further test, and the agent has finished."""
    accounts = scene.core.runs["r1"].ledger.accounts
    for worker in workers:
        scene.says(name, ran(worker, accounts[worker].last + 1, 0, ended="finished", **said))
    scene.says(name, m.Finished("r1"))


def own(name: str) -> tuple[str, str]:
    return f"{name}/0", f"{name}/1"


# -- redistribute --------------------------------------------------------------------------------


def test_what_a_lost_agent_has_not_done_goes_to_the_others():
    scene = Scene()
    run = scene.runs("a", "b", "c", **WHOLE)
    scene.says("a", ran("a/0", 1, 5), ran("a/1", 1, 6))
    actions = scene.passes(11, "b", "c")
    (for_b,), (for_c,) = asked(actions, "b"), asked(actions, "c")
    assert (for_b.plan.users, for_b.plan.left) == ((2,), (15,))
    assert (for_c.plan.users, for_c.plan.left) == ((2,), (14,))
    text = "What was left of agent a, 29 tests, went to b, c."
    assert text in run.view(Tally()).warnings
    assert f"Run r1: {text}" in scene.logs


def test_the_result_has_as_many_tests_as_were_planned():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    scene.says("a", ran("a/0", 1, 5))
    scene.passes(11, "b")
    scene.says("b", ran("b/0", 1, 20), ran("b/1", 1, 20))
    workers = take_over(scene, "b")
    scene.says("b", ran(workers[0], 1, 35))
    finish(scene, "b", *own("b"), *workers)
    assert sum(run.ledger.total.outcomes(TEST).values()) == 80
    # what the lost agent did after its last report is not known, so the target may have seen more
    assert (run.status, run.view(Tally()).exit_code) == ("incomplete", ExitCode.INCOMPLETE)
    assert run.view(Tally()).agents[1].workers == 4


def test_a_lost_agent_that_tells_the_rest_of_it_makes_the_result_whole():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    scene.says("a", ran("a/0", 1, 5))
    scene.passes(11, "b")
    workers = take_over(scene, "b")
    answers = scene.reconnects("a", "r1")
    assert answers == [scene.to("a", WELCOME_BACK), scene.to("a", m.StopLoad("r1", 0.0))]
    scene.says("a", ready("a"))
    assert scene.state_of("a") is State.STOPPING
    late = "stopped early: orphaned"
    scene.says("a", ran("a/0", 2, 3, ended="lost", reason=late), ran("a/1", 1, 0, ended="stopped"))
    actions = scene.says("a", m.Finished("r1"))
    assert scene.to("a", m.Release("r1")) in actions
    scene.says("b", ran("b/0", 1, 40), ran(workers[0], 1, 35))
    finish(scene, "b", *own("b"), *workers)
    assert sum(run.ledger.total.outcomes(TEST).values()) == 83  # three of them were done twice
    assert run.status == "finished"
    assert any("went to b" in warning for warning in run.view(Tally()).warnings)


def test_an_agent_that_has_finished_is_kept_to_take_over():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    scene.says("b", ran("b/0", 1, 40))
    finish(scene, "b", *own("b"))
    assert (run.parts["b"].state, scene.state_of("b")) == ("waiting", State.DONE)
    assert len(asked(scene.passes(11, "b"), "b")) == 1
    finish(scene, "b")  # said before it heard of that
    assert run.state == "running"
    workers = take_over(scene, "b")
    scene.says("b", ran(workers[1], 1, 40))
    finish(scene, "b", *workers)
    assert run.state == "ended"
    assert scene.state_of("b") is State.IDLE


def test_all_are_released_when_nothing_is_left_to_take_over():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    finish(scene, "b", *own("b"))
    finish(scene, "a", *own("a"))
    assert run.status == "finished"
    assert scene.state_of("a") is scene.state_of("b") is State.IDLE


def test_one_that_waits_has_nothing_to_lose():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    finish(scene, "b", *own("b"))
    scene.passes(11, "a")
    assert run.parts["b"].state == "ended"
    finish(scene, "a", *own("a"))
    assert run.status == "finished"


def test_the_load_of_an_agent_that_was_asked_to_leave_goes_to_the_others():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    left = "stopped early: it was asked to"
    scene.says("a", ran("a/0", 1, 5, ended="lost", reason=left))
    scene.says("a", ran("a/1", 1, 5, ended="lost", reason=left))
    (extend,) = asked(scene.says("a", m.Finished("r1")), "b")
    assert extend.plan.left == (30,)
    scene.says("a", m.Bye("it was asked to"))
    workers = take_over(scene, "b")
    scene.says("b", ran("b/0", 1, 40), ran(workers[0], 1, 30))
    finish(scene, "b", *own("b"), *workers)
    assert sum(run.ledger.total.outcomes(TEST).values()) == 80
    assert run.status == "finished"  # all of it was done, and all that was done is known


def test_what_was_taken_over_is_taken_over_again():
    scene = Scene()
    run = scene.runs("a", "b", "c", **WHOLE)
    scene.passes(11, "b", "c")
    workers = take_over(scene, "b")
    scene.says("b", ran(workers[0], 1, 7), ran("b/0", 1, 1))
    extends = asked(scene.passes(11, "c"), "c")  # besides what it was asked for before
    assert [(e.number, e.plan.total_tests) for e in extends] == [(2, 39), (3, 13)]
    assert run.state == "running"


def test_a_load_is_asked_for_until_it_is_answered():
    scene = Scene()
    scene.runs("a", "b", **WHOLE)
    (first,) = asked(scene.passes(11, "b"), "b")
    scene.reconnects("b", "r1")
    assert asked(scene.says("b", ready("b")), "b") == [first]
    take_over(scene, "b")
    scene.reconnects("b", "r1")
    assert asked(scene.says("b", ready("b")), "b") == []
    assert asked(scene.says("b", m.Extended("r1", 1, ("b/1.0", "b/1.1"))), "b") == []


def test_who_does_not_take_over_in_time_is_released():
    scene = Scene(prepare_timeout=30)
    run = scene.runs("a", "b", "c", **WHOLE)
    scene.passes(11, "b", "c")
    take_over(scene, "c")
    scene.passes(31, "b", "c")
    assert run.parts["b"].state == "lost"
    assert scene.state_of("b") is State.IDLE
    assert [e.plan.total_tests for e in run.parts["c"].extensions] == [20, 40, 20]


def test_a_load_that_cannot_be_taken_over_is_missing_in_the_result():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    scene.passes(11, "b")
    scene.says("b", m.Extended("r1", 1, (), "no memory is left"))
    finish(scene, "b", *own("b"))
    assert run.status == "incomplete"
    said = "Agent b could not take over 40 tests: no memory is left."
    assert said in run.view(Tally()).warnings


def refuses(scene: Scene, name: str, number: int = 1):
    return scene.says(name, m.Extended("r1", number, (), "no memory is left"))


def test_a_load_that_one_agent_refuses_is_offered_to_another():
    scene = Scene()
    run = scene.runs("a", "b", "c", **WHOLE)
    first = asked(scene.passes(11, "b", "c"), "b")[0].plan
    (extend,) = asked(refuses(scene, "b"), "c")
    assert (extend.number, extend.plan) == (2, first)
    workers = [take_over(scene, "c", number) for number in (1, 2)]
    for taken in workers:
        scene.says("c", ran(taken[0], 1, 20))
    scene.says("b", ran("b/0", 1, 40))
    finish(scene, "b", *own("b"))
    assert run.state == "running"
    scene.says("c", ran("c/0", 1, 40))
    finish(scene, "c", *own("c"), *workers[0], *workers[1])
    assert sum(run.ledger.total.outcomes(TEST).values()) == 120
    said = "Agent b could not take over 20 tests: no memory is left; asked instead was c."
    assert said in run.view(Tally()).warnings


def test_a_result_is_whole_when_another_agent_does_what_one_has_refused():
    scene = Scene()
    run = scene.runs("a", "b", "c", **WHOLE)
    gone = "stopped early: it was asked to"
    scene.says("a", ran("a/0", 1, 1, ended="lost", reason=gone))
    scene.says("a", ran("a/1", 1, 1, ended="lost", reason=gone), m.Finished("r1"))
    refuses(scene, "b")
    taken = [take_over(scene, "c", number) for number in (1, 2)]
    for workers in taken:
        scene.says("c", ran(workers[0], 1, 19))
    for name in ("b", "c"):
        scene.says(name, ran(f"{name}/0", 1, 40))
    finish(scene, "b", *own("b"))
    finish(scene, "c", *own("c"), *taken[0], *taken[1])
    view = run.view(run.ledger.total)
    assert (view.status, view.exit_code) == ("finished", ExitCode.OK)


def test_who_has_least_to_do_beside_its_own_is_asked_instead():
    scene = Scene()
    scene.runs("a", "b", "c", "d", **{**WHOLE, "users": (2,)})  # which are parts for two
    scene.passes(11, "b", "c", "d")
    (extend,) = asked(refuses(scene, "b"), "d")
    assert extend.number == 1


def test_nobody_is_asked_again_for_what_it_has_refused():
    scene = Scene()
    run = scene.runs("a", "b", "c", **{**WHOLE, "users": (1,)})  # which is a part for one
    scene.passes(11, "b", "c")
    assert len(asked(refuses(scene, "b"), "c")) == 1
    assert asked(refuses(scene, "c"), "b") == []
    assert "Agent c could not take over 10 tests: no memory is left." in run.remarks
    finish(scene, "b", *own("b"))
    finish(scene, "c", *own("c"))
    assert run.status == "incomplete"


def test_a_load_that_many_refuse_is_given_up():
    scene = Scene()
    names = [f"agent{number}" for number in range(MOST_REFUSALS + 3)]
    run = scene.runs("a", *names, **{**WHOLE, "users": (1,)})
    scene.passes(11, *names)
    offers = 1
    while waiting := [n for n in names if any(not e.is_answered for e in run.parts[n].extensions)]:
        said = refuses(scene, waiting[0])
        offers += sum(len(asked(said, name)) for name in names)
    assert offers == MOST_REFUSALS


def test_what_was_refused_and_passed_on_is_not_handed_over_once_more():
    """By whoever refused it, when that is lost; by its new agent, it is."""
    scene = Scene()
    run = scene.runs("a", "b", "c", "d", **{**WHOLE, "users": (1,)})
    scene.passes(11, "b", "c", "d")
    refuses(scene, "b")
    assert [len(run.parts[name].extensions) for name in "bcd"] == [1, 1, 0]
    scene.passes(11, "c", "d")  # without b
    remaining = [e.plan.total_tests for name in "cd" for e in run.parts[name].extensions]
    assert sum(remaining) == 10 + 10  # of a and of b
    scene.passes(11, "d")
    assert sum(e.plan.total_tests for e in run.parts["d"].extensions) == 10 + 10 + 10


def test_a_load_whose_agent_is_lost_before_it_answers_goes_to_another():
    scene = Scene()
    run = scene.runs("a", "b", "c", **{**WHOLE, "users": (1,)})
    scene.passes(11, "b", "c")
    assert [len(run.parts[name].extensions) for name in "bc"] == [1, 0]
    scene.passes(11, "c")
    assert [e.plan.total_tests for e in run.parts["c"].extensions] == [10, 10]


def test_a_refusal_while_the_run_is_stopped_is_the_end_of_it():
    scene = Scene()
    scene.runs("a", "b", "c", **{**WHOLE, "users": (1,)})
    scene.passes(11, "b", "c")
    scene.asks(m.StopRun(2, "r1", 30))
    assert asked(refuses(scene, "b"), "c") == []


def test_users_that_one_agent_refuses_are_offered_for_the_time_that_is_left():
    scene = Scene()
    scene.runs("a", "b", "c", **REDISTRIBUTE, users=(1,), duration=60)
    scene.passes(11, "b", "c")
    scene.passes(5, "b", "c")
    (extend,) = asked(refuses(scene, "b"), "c")
    assert extend.plan.left == pytest.approx((60 + 0.1 - 16,))


def test_users_of_a_plan_by_duration_are_taken_over_for_the_time_that_is_left():
    scene = Scene()
    scene.runs("a", "b", **REDISTRIBUTE, users=(4,), duration=60)
    (extend,) = asked(scene.passes(11, "b"), "b")
    assert extend.plan.users == (4,)
    assert extend.plan.left == pytest.approx((60 + 0.1 - 11,))


def test_nobody_is_left_to_take_over():
    scene = Scene()
    run = scene.runs("a", **WHOLE)
    scene.passes(11)
    assert run.status == "incomplete"
    assert "Nobody is there to take over from agent a." in run.view(Tally()).warnings


def test_nothing_is_handed_over_while_a_run_is_stopped():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    scene.asks(m.StopRun(2, "r1", 30))
    assert asked(scene.passes(11, "b"), "b") == []
    finish(scene, "b", *own("b"))
    assert run.status == "stopped"


def test_an_agent_that_takes_over_anothers_workers_is_released():
    scene = Scene()
    run = scene.runs("a", "b", **WHOLE)
    scene.passes(11, "b")
    said = scene.says("b", m.Extended("r1", 1, ("a/0",)))
    assert scene.to("b", m.Release("r1")) in said
    assert run.parts["b"].state == "lost"


# -- abort ---------------------------------------------------------------------------------------


def test_a_run_can_be_stopped_when_an_agent_is_lost():
    scene = Scene()
    run = scene.runs("a", "b", on_agent_loss="abort", grace=5)
    actions = scene.passes(11, "b")
    assert scene.to("b", m.StopLoad("r1", 5)) in actions
    scene.says("b", report("b/0", 1, 2, ended="stopped"), report("b/1", 1, 1, ended="stopped"))
    scene.says("b", m.Finished("r1"))
    view = run.view(run.ledger.total)
    assert (view.status, view.exit_code, view.tally.hits) == ("incomplete", ExitCode.INCOMPLETE, 3)
    assert view.warnings[0] == "The run was stopped, because agent a was silent for 11 s."


def test_and_ends_at_once_when_it_was_the_only_one():
    scene = Scene()
    run = scene.runs("a", on_agent_loss="abort")
    scene.passes(11)
    assert run.status == "incomplete"


# -- waiting for who may come back ---------------------------------------------------------------


def test_a_run_waits_for_an_agent_that_may_come_back_with_what_it_did():
    scene = Scene(orphan_timeout=30.0)  # so long agents keep up their load without a broker
    scene.runs("a", "b")
    run = scene.core.runs["r1"]
    scene.passes(11, "b")
    scene.ends("b")
    scene.passes(10, "b")
    assert run.state == "running"
    scene.reconnects("a", "r1")
    scene.says("a", report("a/0", 1, 7))
    scene.ends("a")
    assert (run.status, run.ledger.total.hits) == ("finished", 7)


def test_but_not_for_longer_than_that_may_take():
    scene = Scene(orphan_timeout=30.0)  # so long agents keep up their load without a broker
    scene.runs("a", "b")
    scene.passes(11, "b")
    scene.ends("b")
    scene.passes(23, "b")
    assert scene.core.runs["r1"].status == "incomplete"


def test_and_not_when_somebody_wants_it_to_stop():
    scene = Scene(orphan_timeout=30.0)  # so long agents keep up their load without a broker
    scene.runs("a", "b")
    scene.passes(11, "b")
    scene.ends("b")
    scene.asks(m.StopRun(2, "r1", 30))
    assert scene.core.runs["r1"].status == "stopped"


# -- plans that get lost, runs that hang -----------------------------------------------------------


def test_a_plan_that_was_lost_with_a_connection_is_told_again():
    scene = Scene()
    run = scene.prepares("a", "b")
    actions = scene.reconnects("a")
    assert [type(action.message) for action in actions] == [m.Welcome, m.Prepare]
    assert actions[1].message == m.Prepare("r1", run.plan, "digest", b"bundle")
    scene.says("a", ready("a"))
    scene.says("b", ready("b"))
    assert run.state == "running"
    assert run.bundle == b""


def test_but_not_to_one_that_had_it_and_lost_it():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("a", ready("a"))
    scene.reconnects("a")
    assert (run.status, run.error) == ("failed", "Agent a was restarted before the start.")


def test_a_run_in_which_nothing_ends_says_so():
    scene = Scene(stall=30)
    run = scene.runs("a")
    scene.passes(29, "a")
    assert run.view(Tally()).warnings == ()
    scene.passes(9, "a")
    assert run.view(Tally()).warnings == ("No test or hit has ended for 30 s.",)
    assert scene.logs.count("Run r1 hangs: no test or hit ends.") == 1
    scene.says("a", report("a/0", 1, 1))
    scene.feed(Tick())
    assert run.view(Tally()).warnings == ()
