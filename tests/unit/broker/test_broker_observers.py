"""Whom the broker has told of the end of a run, and what becomes of that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loads.broker.actions import Observe, Observed, Publish, ToClient
from loads.protocol import messages as m
from tests.unit.broker.scene import CLIENT, Scene, plan, submit

IRC = m.Wish("irc", (("channel", "#loads"),))
MAIL = m.Wish("email", (("password", "sesame"),))


@pytest.fixture
def scene() -> Scene:
    scene = Scene(observers=frozenset({"email", "irc"}))
    scene.registers("a")
    return scene


def ask(scene: Scene, *wishes: m.Wish) -> list:
    return scene.asks(replace(submit(plan(1)), observers=wishes))


def told(actions: list) -> list[Observe]:
    return [action for action in actions if isinstance(action, Observe)]


def test_each_observer_is_told_once_of_the_final_picture(scene: Scene) -> None:
    ask(scene, IRC, MAIL)
    run = scene.core.runs["r1"]
    assert not told(scene.says("a", m.Ready("r1", ("a/0", "a/1"))))
    done = told(scene.ends("a"))
    assert done == [Observe(wish, run.view(run.ledger.total)) for wish in (IRC, MAIL)]
    assert done[0].view.status == "finished"
    assert not told(scene.passes(5, "a"))


@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_a_run_that_came_to_nothing_has_ended_as_well(scene: Scene, how: str) -> None:
    ask(scene, IRC)
    stop = m.StopRun(9, "r1", 0.0)
    actions = (
        scene.asks(stop) if how == "stopped" else scene.says("a", m.CannotRun("r1", 2, "no module"))
    )
    (action,) = told(actions)
    assert action.view.status == how


def test_options_are_forgotten_with_the_end_and_shown_to_nobody(scene: Scene) -> None:
    """Nor are they in what is logged of messages."""
    ask(scene, MAIL)
    run = scene.core.runs["r1"]
    assert "sesame" not in str(run.view(run.ledger.total)) + str(submit(plan(1)))
    assert "sesame" not in repr(MAIL) + repr(run)
    scene.says("a", m.CannotRun("r1", 2, "no module"))
    assert run.observers == ()


def test_an_observer_that_the_broker_does_not_have_is_refused_at_once(scene: Scene) -> None:
    (answer,) = ask(scene, m.Wish("pager"))
    assert isinstance(answer, ToClient) and answer.peer == CLIENT
    assert isinstance(answer.message, m.Refused)
    assert answer.message.code == 2
    assert answer.message.message == "The broker has no observer 'pager'."
    assert answer.message.hint.startswith("It has email, irc;")
    assert not scene.core.runs


def test_a_failing_observer_is_a_warning_of_the_run_and_nothing_more(scene: Scene) -> None:
    ask(scene, IRC)
    scene.says("a", m.CannotRun("r1", 2, "no module"))
    (update,) = scene.feed(Observed("r1", "irc", "ConnectionRefusedError: no"))
    assert isinstance(update, Publish) and isinstance(update.message, m.Update)
    words = "Observer irc could not be told of the end: ConnectionRefusedError: no."
    assert update.message.changes.warnings == (words,)
    assert scene.core.runs["r1"].status == "failed", "as it was"
    assert scene.logs[-1] == f"Run r1: {words}"
    assert scene.feed(Observed("r1", "irc", "")) == []
    assert scene.feed(Observed("gone", "irc", "late")) == [], "a run that is forgotten"
