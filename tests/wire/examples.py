"""One fixed message of each kind: what the golden bytes in ``v1/`` say."""

from __future__ import annotations

from dataclasses import replace

from loads.metrics.failures import ERROR, Failure, FailureGroup
from loads.metrics.series import HIT, TEST, NoAnswer, Phases, SeriesKey, Verdict
from loads.metrics.summary import AgentView, QueueView, RunChanges, RunView
from loads.metrics.tally import Tally
from loads.metrics.timeline import Second
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.rows import AgentRow, RunRow

RUN = "20240229-1"
DIGEST = "sha256:" + "c0ffee" * 10
BUNDLE = b"PK\x05\x06" + bytes(18)


def _plan() -> RunPlan:
    return RunPlan(
        target="shop.test_shop.TestShop.test_cart",
        users=(10, 20),
        hits=(100,),
        agents=2,
        server_url="http://localhost:9000",
        grace=5.0,
        config={"currency": "€"},
        env={"SHOP_KEY": "secret"},
        paths=(".", "lib"),
        python_deps=("attrs>=23",),
        url_names="exact",
        patching=False,
        resolve_once=False,
        on_agent_loss="abort",
        test_runner="./run.js {test}",
        test_dir="/tmp/tests",
    )


def _left() -> RunPlan:
    return replace(_plan(), users=(7, 20), left=(31, 2000))


def _tally() -> Tally:
    """A little of everything that a tally can hold."""
    tally = Tally()
    home = tally.line(SeriesKey(HIT, "http://localhost:9000/users/{n}", "GET"))
    home.record(250, 200, sent=120, received=4096)
    home.record(70_000, 503, sent=120, received=64)
    home.record(1_000_000, NoAnswer.TIMED_OUT, sent=120)
    home.phases = Phases(2, 100, 70_000, 150)
    cart = tally.line(SeriesKey(TEST, "TestShop.test_cart"))
    cart.record(1_100_000, Verdict.SUCCESS)
    cart.record(1_200_000, Verdict.ERROR)
    failure = Failure(ERROR, "KeyError", "'cart {n}'", "shop/test_shop.py:12 in test_cart")
    tally.failures[failure] = FailureGroup(1, 1.25, 1.25, frozenset({"TestShop.test_cart"}))
    tally.counters = {"greeted": 3, "stock": -2}
    tally.count("tests_started", 3)
    tally.count("hits_started", 4)
    tally.timeline.add(0, Second(1, 0, 0, 0))
    tally.timeline.add(1, Second(2, 2, 2, 1))
    tally.elapsed = 1.5
    tally.warnings = {"something to know"}
    return tally


def _view() -> RunView:
    return RunView(
        run_id=RUN,
        plan=_plan(),
        state="ended",
        status="incomplete",
        started=1_709_164_800.0,
        elapsed=1.75,
        users=0,
        tally=_tally(),
        agents=(
            AgentView("box-1", "box-1.example", 2, "ended", 3, 0, 8, "2.0"),
            AgentView("box-2", "box-2.example", 2, "lost", 0, None),
        ),
        warnings=("box-2:0 is lost",),
        error_code=0,
        error="",
        hint="",
        queue=QueueView(2, 5, 1),
        submitted_by="anne",
    )


def _run_row() -> RunRow:
    return RunRow(
        run_id=RUN,
        target="shop.test_shop.TestShop.test_cart",
        description="2 agents x (10+20) users",
        state="ended",
        status="finished",
        submitted=1_709_164_790.0,
        started=1_709_164_800.0,
        ended=1_709_164_802.0,
        duration=1.75,
        agents=2,
        users=0,
        hits=3,
        place=1,
        user_id="alice",
        submitted_by="anne",
    )


def _agent_row() -> AgentRow:
    return AgentRow(
        agent_id="box-1",
        host="box-1.example",
        pid=4242,
        cores=8,
        workers=2,
        load=0.75,
        version="0.1.0",
        protocol=1,
        state="running",
        run_id=RUN,
        since=1_709_164_700.0,
    )


def _changes() -> RunChanges:
    view = _view()
    return RunChanges(
        run_id=view.run_id,
        state=view.state,
        status=view.status,
        started=view.started,
        elapsed=view.elapsed,
        users=view.users,
        tally=view.tally,
        agents=view.agents[1:],
        warnings=view.warnings,
        queue=view.queue,
    )


EXAMPLES: dict[type[m.Message], m.Message] = {
    type(message): message
    for message in (
        m.Register("box-1", "box-1.example", 4242, 2, "0.1.0", RUN, 3, 8, 30.0),
        m.Ready(RUN, ("box-1:0", "box-1:1"), 2),
        m.CannotRun(RUN, 2, "There is no module shop.", "Look at --test-dir."),
        m.Extended(RUN, 2, ("box-1:2.0", "box-1:2.1"), ""),
        m.Report(RUN, "box-1:0", 7, _tally(), 10, "lost", "killed by signal 9", None),
        m.Finished(RUN),
        m.LastWords(RUN, "box-1", "box-1:0", 70_000, 6_543, 9),
        m.Bye("interrupted"),
        m.Heartbeat(0.75),
        m.Welcome(1.0, 10.0, 3),
        m.WelcomeBack(0.5, 2.5, 4),
        m.Rejected("The agent speaks LOADS/2.", "Install the same version."),
        m.WhoAreYou(),
        m.Prepare(RUN, _plan(), DIGEST, BUNDLE, 2),
        m.Start(RUN, 0.1, 0.5),
        m.Extend(RUN, 2, _left()),
        m.StopLoad(RUN, 30.0),
        m.Acknowledge(RUN, "box-1:0", 7),
        m.Release(RUN),
        m.Ping(1),
        m.Submit(
            2,
            _plan(),
            DIGEST,
            BUNDLE,
            60.0,
            ("box-1", "box-2"),
            (m.Wish("irc", (("channel", "#loads"),)),),
            "submission-1",
        ),
        m.StopRun(3, RUN, 30.0),
        m.GetRun(4, RUN),
        m.ListRuns(5, 10),
        m.ListAgents(6),
        m.Purge(7, 5.0),
        m.Pong(1, "0.1.0", "tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002", 5, 3, 4, 2),
        m.Accepted(2, RUN),
        m.RunSnapshot(4, 12, _view()),
        m.RunList(5, (_run_row(),)),
        m.AgentList(6, (_agent_row(),)),
        m.Purged(7, (RUN,)),
        m.Refused(2, 6, "The run asks for 2 agents.", "Start more with loads-agent."),
        m.Update(13, _changes()),
    )
}
