"""Following a run whose broker answers as a test says, at the speed that the test says."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from loads.bundle import Bundle
from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.errors import (
    BrokerRefused,
    BrokerUnreachable,
    ExitCode,
    Interrupted,
    LoadsError,
    NotEnoughAgents,
)
from loads.metrics.series import HIT, SeriesKey
from loads.metrics.summary import AgentView, QueueView, RunView
from loads.metrics.tally import Tally
from loads.outputs.base import Outputs
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.codec import encode
from loads.runners.distributed import DistributedRunner, known_run
from loads.runners.interrupts import interruptible
from tests.integration.frontends import frontend

PLAN = RunPlan("test_shop", agents=1)


class HastyClock(SystemClock):
    """A clock that a test puts forward, so that nobody has to wait.

    It gets there in steps, each time that somebody looks, unless somebody was to miss all of it.
    """

    ahead = 0.0
    to_go = 0.0

    def monotonic(self) -> float:
        step = min(self.to_go, 0.5)
        self.to_go -= step
        self.ahead += step
        return super().monotonic() + self.ahead


class Seen:
    """An output that notes what it is told, and puts the clock forward when the run starts."""

    def __init__(self, clock: HastyClock, ahead: float, asleep: float) -> None:
        self.finished: list[RunView] = []
        self.messages: list[str] = []
        self._clock, self._ahead, self._asleep = clock, ahead, asleep

    def start(self, view: RunView) -> None:
        self._clock.to_go += self._ahead
        self._clock.ahead += self._asleep

    def update(self, view: RunView) -> None:
        pass

    def finish(self, view: RunView) -> None:
        self.finished.append(view)

    def message(self, text: str) -> None:
        self.messages.append(text)


def running(hits: int = 3) -> RunView:
    tally = Tally()
    for _ in range(hits):
        tally.line(SeriesKey(HIT, "http://target/", "GET")).record(1000, 200)
    agents = (AgentView("a", "box", 1, "running", hits), AgentView("b", "box", 1, "ended", 0))
    return RunView("r1", PLAN, "running", started=5000.0, tally=tally, agents=agents)


def followed(
    short: Path,
    answer: Callable[[m.Request, int], m.Message | None],
    ahead: float = 0.0,
    asleep: float = 0.0,
) -> tuple[RunView | LoadsError | None, Seen]:
    """The end of a run whose broker answers the ``n``-th question as ``answer`` says."""
    asked: list[m.Request] = []

    def answers(question: m.Request) -> list[list[bytes]]:
        asked.append(question)
        if isinstance(question, m.Ping):
            publisher = f"ipc://{short}/publisher"
            return [encode(m.Pong(question.request, "1", "ipc:///b", publisher, 1, 0, 1))]
        reply = answer(question, len(asked) - 1)
        return [] if reply is None else [encode(reply)]

    clock = HastyClock()
    seen = Seen(clock, ahead, asleep)
    with frontend(short, answers) as endpoint, BrokerClient(endpoint, clock) as client:
        runner = DistributedRunner(known_run("r"), client, clock, Outputs([("seen", seen)]))
        try:
            return runner.run(), seen
        except LoadsError as error:
            return error, seen


def snapshot(question: m.Request, view: RunView, number: int = 1) -> m.RunSnapshot:
    return m.RunSnapshot(question.request, number, view)


def test_a_broker_that_falls_silent_is_given_up_with_what_was_seen(short: Path) -> None:
    """The first answers are to who asks for the run, and to the first look at it."""
    error, seen = followed(short, lambda q, n: snapshot(q, running()) if n <= 2 else None, 31.0)
    assert isinstance(error, BrokerUnreachable)
    assert re.search(r"run r1 is followed no longer, after 3\d s of silence", error.message)
    (view,) = seen.finished
    assert (view.status, view.exit_code) == ("incomplete", ExitCode.BROKER)
    assert view.tally.hits == 3
    assert [agent.unknown for agent in view.agents] == [None, 0], "what has ended is known"
    assert view.warnings == (error.message,)


def test_a_broker_that_is_silent_for_a_while_is_asked_again(short: Path) -> None:
    def answer(question: m.Request, n: int) -> m.Message | None:
        if n <= 2:
            return snapshot(question, running())
        if n == 3:
            return None
        over = RunView("r1", PLAN, "ended", "finished", 5000.0, tally=running(9).tally)
        return snapshot(question, over, 7)

    view, seen = followed(short, answer, ahead=9.0)
    assert isinstance(view, RunView)
    assert view.status == "finished"
    assert view.tally.hits == 9
    assert seen.finished == [view]


def test_a_broker_that_counts_from_less_than_before_is_believed_when_it_is_asked(
    short: Path,
) -> None:
    """It was restarted on a box whose clock had been set back; what is asked for now is the latest.

    Who never believes it gets a refusal in the end, instead of going on for ever.
    """

    def answer(question: m.Request, n: int) -> m.Message | None:
        if n <= 2:
            return snapshot(question, running(), 1_000_000)
        if n > 4:
            return m.Refused(question.request, int(ExitCode.USAGE), "You do not listen.", "")
        over = RunView("r1", PLAN, "ended", "finished", 5000.0, tally=running(9).tally)
        return snapshot(question, over, 7)

    view, seen = followed(short, answer, ahead=9.0)
    assert isinstance(view, RunView), view
    assert view.tally.hits == 9
    assert seen.finished == [view]


def test_a_broker_that_comes_back_is_heard_when_it_was_asked_to_stop_the_run(short: Path) -> None:
    """Ctrl-C after some seconds without a word from it, as while it is restarted."""

    def answer(question: m.Request, n: int) -> m.Message | None:
        if n <= 2:
            return snapshot(question, running())
        if isinstance(question, m.StopRun):
            over = RunView("r1", PLAN, "ended", "stopped", 5000.0, tally=running(9).tally)
            return snapshot(question, over, 7)
        os.kill(os.getpid(), signal.SIGINT)
        return None

    view, seen = followed(short, answer, ahead=4.0)
    assert isinstance(view, RunView)
    assert view.status == "stopped"
    assert view.tally.hits == 9
    assert seen.finished == [view]


@pytest.mark.parametrize(("times", "most"), [(1, 9.0), (2, 5.0)])
def test_who_presses_ctrl_c_does_not_wait_for_a_broker_that_is_gone(
    short: Path, times: int, most: float
) -> None:
    def answer(question: m.Request, n: int) -> m.Message | None:
        if n <= 2:
            return snapshot(question, running())
        if n < 3 + times:
            os.kill(os.getpid(), signal.SIGINT)
        return None

    error, seen = followed(short, answer, ahead=4.0)
    assert isinstance(error, BrokerUnreachable)
    silence = re.search(r"after (\d+) s of silence", error.message)
    assert silence
    assert float(silence[1]) <= most
    assert [view.tally.hits for view in seen.finished] == [3]


def test_who_was_stopped_for_long_takes_no_broker_for_gone(short: Path) -> None:
    """The broker is asked, and has time to answer."""

    def answer(question: m.Request, n: int) -> m.Message | None:
        if n <= 2:
            return snapshot(question, running())
        over = RunView("r1", PLAN, "ended", "finished", 5000.0, tally=running(9).tally)
        return snapshot(question, over, 7)

    view, seen = followed(short, answer, asleep=600.0)
    assert isinstance(view, RunView)
    assert view.tally.hits == 9
    assert seen.messages == []


def test_a_broker_that_has_forgotten_the_run(short: Path) -> None:
    """As one that was restarted without a memory."""

    def answer(question: m.Request, n: int) -> m.Message:
        if n <= 2:
            return snapshot(question, running())
        return m.Refused(question.request, 2, "The broker knows no run r1.", "Forgotten.")

    error, seen = followed(short, answer, ahead=9.0)
    assert isinstance(error, BrokerRefused)
    assert error.exit_code is ExitCode.BROKER
    assert error.message == "Run r1 is followed no longer: The broker knows no run r1."
    assert [view.exit_code for view in seen.finished] == [ExitCode.BROKER]


def test_a_run_that_never_started_leaves_no_summary(short: Path) -> None:
    queued = RunView("r1", PLAN, "queued", queue=QueueView(2, 5, 1))
    failed = RunView(
        "r1", PLAN, "ended", "failed", error_code=6, error="No agents in time.", hint="Start some."
    )
    views = {1: queued, 2: queued}
    error, seen = followed(short, lambda q, n: snapshot(q, views.get(n, failed), n))
    assert isinstance(error, NotEnoughAgents)
    assert error.message == "No agents in time."
    assert seen.finished == []
    assert seen.messages[0] == ("Waiting for agents: 2nd of 5 in the queue; needs 1 agent, 1 idle.")


@pytest.mark.parametrize("status", ["finished", "stopped", "incomplete"])
def test_a_run_that_has_ended_is_shown_at_once(short: Path, status: str) -> None:
    over = RunView("r1", PLAN, "ended", status, 5000.0, tally=running().tally)  # type: ignore[arg-type]
    view, seen = followed(short, lambda q, n: snapshot(q, over))
    assert view == over
    assert seen.finished == [over]


def test_a_plan_is_submitted_again_as_the_same_one(short: Path) -> None:
    """The first answer is lost; the broker can tell that the second question is no other."""
    questions: list[m.Submit] = []

    def answer(question: m.Request) -> list[list[bytes]]:
        assert isinstance(question, m.Submit)
        questions.append(question)
        run_id = f"r{len({asked.submission for asked in questions})}"
        return [] if len(questions) == 1 else [encode(m.Accepted(question.request, run_id))]

    with frontend(short, answer) as endpoint, BrokerClient(endpoint, SystemClock(), 1.0) as client:
        assert client.submit(PLAN, Bundle(b"", "digest")) == "r1"
        assert client.submit(PLAN, Bundle(b"", "digest")) == "r2", "one more run is wanted"
    assert len(questions) >= 3


def interrupted(short: Path, answer: Callable[[m.StopRun], m.Message | None]) -> tuple[str, str]:
    """What is said of a run at Ctrl-C while it is submitted, and the name that it was given then.

    The broker never answers to a submission, and ``answer`` to what is asked next.
    """
    names: list[str] = []

    def answers(question: m.Request) -> list[list[bytes]]:
        if isinstance(question, m.Submit):
            names.append(question.submission)
            os.kill(os.getpid(), signal.SIGINT)
            return []
        assert isinstance(question, m.StopRun)
        assert [question.run_id] == names, "after that it is not submitted any more"
        reply = answer(question)
        return [] if reply is None else [encode(reply)]

    with (
        frontend(short, answers) as endpoint,
        BrokerClient(endpoint, SystemClock()) as client,
        pytest.raises(Interrupted) as caught,
        interruptible(client),
    ):
        client.submit(PLAN, Bundle(b"", "digest"))
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert caught.value.run == (names[0] if "does not answer" in caught.value.message else "")
    return str(caught.value), names[0]


def test_ctrl_c_while_a_broker_does_not_answer_names_what_it_may_have(short: Path) -> None:
    said, name = interrupted(short, lambda question: None)
    assert f"It knows the run as {name}." in said


def test_ctrl_c_while_a_plan_is_submitted_stops_the_run(short: Path) -> None:
    said, _ = interrupted(short, lambda question: m.RunSnapshot(question.request, 1, running()))
    assert said == "Interrupted while the run was submitted: run r1 is stopped."


def test_ctrl_c_before_a_plan_was_received_is_nothing_more(short: Path) -> None:
    said, _ = interrupted(
        short, lambda question: m.Refused(question.request, 2, "No such run.", "")
    )
    assert said == "Interrupted before the broker had the run."
