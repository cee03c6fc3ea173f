"""Messages validate themselves: one that exists is one that may be sent."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest

from loads.metrics.summary import AgentView, QueueView, RunChanges, RunView
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import limits
from loads.protocol import messages as m
from loads.protocol.rows import AgentRow, RunRow

PLAN = RunPlan("test_shop", agents=1)
LOCAL_PLAN = RunPlan("test_shop")
LONG_ID = "x" * (limits.MAX_ID + 1)
LONG_TEXT = "x" * (limits.MAX_TEXT + 1)
NAN, INF = float("nan"), float("inf")

Register = partial(m.Register, agent_id="a", host="h", pid=1, workers=1, version="1")
Report = partial(m.Report, run_id="r", worker="w", sequence=1, tally=Tally())


Pong = partial(
    m.Pong, request=1, version="1", backend="b", publisher="p", agents=0, idle_agents=0, runs=0
)


_Row = partial(
    RunRow, "r", "test_shop", "1 user", "ended", "finished",
    submitted=0.0, started=0.0, ended=0.0, duration=0.0, agents=1, users=0, hits=0,
)  # fmt: skip
_AgentRow = partial(
    AgentRow, "a", "h", 1, cores=1, workers=1, load=None, version="1", protocol=1,
    state="idle", run_id="", since=0.0,
)  # fmt: skip


def snapshot(**fields) -> m.RunSnapshot:
    return m.RunSnapshot(1, 1, RunView(**{"run_id": "r", "plan": PLAN, **fields}))


def update(**fields) -> m.Update:
    return m.Update(1, RunChanges(**{"run_id": "r", **fields}))


def agent(**fields) -> dict[str, tuple[AgentView, ...]]:
    view = {"agent_id": "a", "host": "h", "workers": 1, "state": "running", **fields}
    return {"agents": (AgentView(**view),)}


#: What a console could not show, or would show wrongly.
WRONG_VIEWS = {
    "no run": {"run_id": ""},
    "a plan without an end": {"plan": RunPlan("t", agents=1, duration=1e308, users=(1, 1))},
    "a run that has lasted for ever": {"elapsed": INF},
    "a run that has lasted for nan": {"elapsed": NAN},
    "a run that has not begun yet": {"elapsed": -1.0},
    "a run started before clocks": {"started": -1.0},
    "a run started after the calendar": {"started": 1e12},
    "a run started at nan": {"started": NAN},
    "fewer than no users": {"users": -1},
    "a place before the first": {"queue": QueueView(-1, 1, 0)},
    "fewer than no idle agents": {"queue": QueueView(1, 1, -1)},
    "an agent without a name": agent(agent_id=""),
    "an agent of fewer than no workers": agent(workers=-1),
    "an agent of fewer than no hits": agent(hits=-1),
    "an agent of fewer than no unknown": agent(unknown=-1),
    "an agent of fewer than no cores": agent(cores=-1),
}


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: Register(agent_id=""), id="an agent without a name"),
        pytest.param(lambda: Register(agent_id=LONG_ID), id="an agent with an endless name"),
        pytest.param(lambda: Register(workers=0), id="an agent without workers"),
        pytest.param(lambda: Register(workers=limits.MAX_WORKERS + 1), id="an agent too large"),
        pytest.param(lambda: Register(host=LONG_TEXT), id="a host with an endless name"),
        pytest.param(lambda: Register(version=LONG_TEXT), id="an endless version"),
        pytest.param(lambda: Register(host="h" * 256), id="a host that no DNS can name"),
        pytest.param(lambda: Register(version="1" * 65), id="a long version"),
        pytest.param(lambda: Register(run_id=LONG_ID), id="an agent in an endless run"),
        pytest.param(lambda: Register(orphan_timeout=86_401.0), id="an agent that never ends"),
        pytest.param(lambda: Register(orphan_timeout=NAN), id="an agent that ends at nan"),
        pytest.param(lambda: m.Wish("irc", (("a", "b"),) * 51), id="a wish without end"),
        pytest.param(lambda: m.Ready("", ("w",)), id="ready for no run"),
        pytest.param(lambda: m.Ready("r", ()), id="ready without workers"),
        pytest.param(lambda: m.Ready("r", ("w", "w")), id="two workers of one name"),
        pytest.param(lambda: m.Ready("r", ("w", "")), id="a worker without a name"),
        pytest.param(lambda: m.Ready("r", ("w",), -1), id="ready before the first turn"),
        pytest.param(lambda: m.Prepare("r", PLAN, "d", b"", -1), id="a turn before the first"),
        pytest.param(
            lambda: m.Ready("r", tuple(map(str, range(limits.MAX_WORKERS + 1)))),
            id="too many workers",
        ),
        pytest.param(lambda: m.CannotRun("", 2, "no"), id="a failure of no run"),
        pytest.param(lambda: m.CannotRun("r", 2, LONG_TEXT), id="an endless reason"),
        pytest.param(lambda: m.CannotRun("r", 2, "no", LONG_TEXT), id="an endless hint"),
        pytest.param(lambda: Report(run_id=""), id="a report about no run"),
        pytest.param(lambda: Report(worker=""), id="a report of no worker"),
        pytest.param(lambda: Report(sequence=0), id="reports count from 1"),
        pytest.param(lambda: Report(users=-1), id="fewer than no users"),
        pytest.param(lambda: Report(unknown=-1), id="fewer than no unknown hits"),
        pytest.param(lambda: Report(reason=LONG_TEXT), id="a report with an endless reason"),
        pytest.param(lambda: m.Finished(""), id="the end of no run"),
        pytest.param(lambda: m.Bye(LONG_TEXT), id="an endless farewell"),
        pytest.param(lambda: m.LastWords("", "a", "w", 1, 1, 1), id="last words of no run"),
        pytest.param(lambda: m.LastWords("r", "", "w", 1, 1, 1), id="last words of no agent"),
        pytest.param(lambda: m.LastWords("r", "a", "", 1, 1, 1), id="last words of no worker"),
        pytest.param(lambda: m.LastWords("r", "a", "w", -1, 1, 1), id="fewer than no hits"),
        pytest.param(lambda: m.LastWords("r", "a", "w", 1, -1, 1), id="fewer than no tests"),
        pytest.param(lambda: m.LastWords("r", "a", "w", 1, 1, -1), id="fewer than none under way"),
        pytest.param(
            lambda: m.LastWords("r", "a", "w", limits.MAX_RECORDED + 1, 1, 1),
            id="more hits than a worker can make",
        ),
        pytest.param(lambda: m.Welcome(0.0, 10.0), id="heartbeats without a pause"),
        pytest.param(lambda: m.Welcome(-1.0, 10.0), id="a heartbeat in the past"),
        pytest.param(lambda: m.Welcome(10.0, 10.0), id="no time for a second heartbeat"),
        pytest.param(lambda: m.Welcome(NAN, 10.0), id="heartbeats every nan seconds"),
        pytest.param(lambda: m.Welcome(1.0, NAN), id="a timeout of nan"),
        pytest.param(lambda: m.Welcome(1.0, INF), id="a timeout that never comes"),
        pytest.param(lambda: m.WelcomeBack(10.0, 1.0), id="a timeout before the heartbeat"),
        pytest.param(lambda: m.Rejected(LONG_TEXT), id="an endless rejection"),
        pytest.param(lambda: m.Prepare("r", PLAN, "", b""), id="a bundle without a digest"),
        pytest.param(lambda: m.Prepare("", PLAN, "d", b""), id="preparing no run"),
        pytest.param(
            lambda: m.Prepare("r", PLAN, "d", bytes(limits.MAX_BUNDLE + 1)), id="a bundle too large"
        ),
        pytest.param(lambda: m.Start("r", -0.1), id="a start in the past"),
        pytest.param(lambda: m.Start("r", INF), id="a start that never comes"),
        pytest.param(lambda: m.StopLoad("r", -1.0), id="a grace in the past"),
        pytest.param(lambda: m.StopLoad("r", NAN), id="a grace of nan"),
        pytest.param(lambda: m.Acknowledge("r", "", 1), id="an acknowledgement to no worker"),
        pytest.param(lambda: m.Acknowledge("r", "w", -1), id="acknowledging less than nothing"),
        pytest.param(lambda: m.Release(LONG_ID), id="a run with an endless name"),
        pytest.param(lambda: m.Submit(1, LOCAL_PLAN, "d", b""), id="a local plan for a broker"),
        pytest.param(lambda: m.Submit(1, PLAN, "", b""), id="a submission without a digest"),
        pytest.param(
            lambda: m.Submit(1, PLAN, "d", bytes(limits.MAX_BUNDLE + 1)),
            id="a submission too large",
        ),
        pytest.param(lambda: Register(cores=-1), id="fewer than no cores"),
        pytest.param(lambda: m.Heartbeat(-0.5), id="less than no load"),
        pytest.param(lambda: m.Heartbeat(NAN), id="a load of nan"),
        pytest.param(lambda: m.Submit(1, PLAN, "d", b"", -1.0), id="patience that is over"),
        pytest.param(lambda: m.Submit(1, PLAN, "d", b"", INF), id="infinite patience"),
        pytest.param(lambda: m.Submit(1, PLAN, "d", b"", 0.0, ("a", "b")), id="too many agents"),
        pytest.param(lambda: m.Submit(1, PLAN, "d", b"", 0.0, ("",)), id="an agent with no name"),
        pytest.param(lambda: m.ListRuns(1, -1), id="fewer than no runs in a list"),
        pytest.param(lambda: m.Purge(1, -1.0), id="purging in the past"),
        pytest.param(lambda: m.Purged(1, ("",)), id="purging no run"),
        pytest.param(lambda: _Row(submitted=-1.0), id="a row from before clocks"),
        pytest.param(lambda: _Row(ended=1e12), id="a row from after the calendar"),
        pytest.param(lambda: _Row(duration=INF), id="a row that lasts for ever"),
        pytest.param(lambda: _Row(hits=-1), id="a row of fewer than no hits"),
        pytest.param(lambda: _AgentRow(cores=-1), id="a row of fewer than no cores"),
        pytest.param(lambda: _AgentRow(load=NAN), id="a row with a load of nan"),
        pytest.param(lambda: _AgentRow(since=NAN), id="a row since nan"),
        pytest.param(lambda: m.StopRun(1, "r", -1.0), id="stopping a run in the past"),
        pytest.param(lambda: m.StopRun(1, "", 1.0), id="stopping no run"),
        pytest.param(lambda: m.GetRun(1, ""), id="asking for no run"),
        pytest.param(lambda: m.Accepted(1, ""), id="accepting no run"),
        pytest.param(lambda: m.Refused(1, 6, LONG_TEXT), id="an endless refusal"),
        pytest.param(lambda: m.Update(0, RunChanges("r")), id="updates count from 1"),
        pytest.param(
            lambda: m.Submit(1, RunPlan("t", agents=1, duration=1e308, users=(1, 1)), "d", b""),
            id="a plan without an end",
        ),
        pytest.param(
            lambda: m.Prepare("r", RunPlan("t", agents=1, grace=1e9), "d", b""),
            id="an endless grace",
        ),
        pytest.param(lambda: m.RunSnapshot(1, -1, RunView("r", PLAN)), id="fewer than no updates"),
        pytest.param(lambda: Pong(agents=-1), id="fewer than no agents"),
        pytest.param(lambda: Pong(idle_agents=-1), id="fewer than no idle agents"),
        pytest.param(lambda: Pong(runs=-1), id="fewer than no runs"),
        pytest.param(lambda: Pong(version=LONG_TEXT), id="a broker of an endless version"),
        pytest.param(lambda: Pong(backend=LONG_TEXT), id="an endless endpoint"),
        *(
            pytest.param(partial(show, **wrong), id=f"{show.__name__} of {name}")
            for show in (snapshot, update)
            for name, wrong in WRONG_VIEWS.items()
            if show is snapshot or "plan" not in wrong
        ),
    ],
)
def test_what_makes_no_sense_cannot_be_built(build):
    with pytest.raises(ValueError):
        build()


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: Register(agent_id="x" * limits.MAX_ID), id="the longest name"),
        pytest.param(lambda: Register(workers=limits.MAX_WORKERS), id="the largest agent"),
        pytest.param(lambda: Register(run_id="r"), id="an agent in the middle of a run"),
        pytest.param(lambda: Report(unknown=None, ended="lost"), id="unknown without a bound"),
        pytest.param(lambda: m.Bye("x" * limits.MAX_TEXT), id="the longest farewell"),
        pytest.param(lambda: m.Start("r", 0.0), id="a start at once"),
        pytest.param(lambda: m.StopLoad("r", 0.0), id="no grace at all"),
        pytest.param(lambda: m.Acknowledge("r", "w", 0), id="nothing merged yet"),
        pytest.param(lambda: m.RunSnapshot(1, 0, RunView("r", PLAN)), id="nothing published yet"),
        pytest.param(lambda: m.Update(1, RunChanges("r")), id="the first update"),
        pytest.param(lambda: m.Heartbeat(None), id="a load that is not known"),
        pytest.param(lambda: m.Submit(1, PLAN, "d", b"", None), id="patience without end"),
        pytest.param(lambda: m.Submit(1, PLAN, "d", b"", 0.0, ("a",)), id="an agent by its name"),
    ],
)
def test_the_edges_of_what_makes_sense(build):
    build()


@pytest.mark.parametrize(
    ("text", "clipped"),
    [
        ("", ""),
        ("é\n", "é\n"),
        ("caf\udce9", "caf\\udce9"),
        ("x" * (limits.MAX_TEXT + 5), "x" * limits.MAX_TEXT),
        ("\udce9" * limits.MAX_TEXT, ("\\udce9" * limits.MAX_TEXT)[: limits.MAX_TEXT]),
    ],
    ids=["none", "as it is", "no UTF-8", "long", "long once it is spelled out"],
)
def test_a_text_is_made_such_that_it_can_be_sent(text, clipped):
    assert limits.clipped(text) == clipped
    m.CannotRun("r", 2, limits.clipped(text)).message.encode()


def test_messages_cannot_be_changed():
    for cls in m.ALL:
        assert dataclasses.is_dataclass(cls)
        assert issubclass(cls, m.Message)
        assert cls.__dataclass_params__.frozen


def test_all_is_every_message_once():
    defined = {value for value in vars(m).values() if _is_a_message(value)}
    assert set(m.ALL) == defined
    assert len(m.ALL) == len(set(m.ALL))
    assert len({cls.__name__ for cls in m.ALL}) == len(m.ALL), "a name is a kind on the wire"


def _is_a_message(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, m.Message) and value is not m.Message


def test_a_kind_goes_one_way():
    """Only a heartbeat may be sent in two directions, so a reflected message is recognised."""
    ways = (m.FROM_AGENT, m.TO_AGENT, m.FROM_CLIENT, m.TO_CLIENT, m.PUBLISHED)
    kinds = [cls for way in ways for cls in way]
    assert {cls for cls in kinds if kinds.count(cls) > 1} == {m.Heartbeat}


def test_each_request_and_each_reply_carries_the_requests_number():
    for cls in (*m.FROM_CLIENT, *m.TO_CLIENT):
        assert dataclasses.fields(cls)[0].name == "request"


def test_each_message_says_what_it_means():
    for cls in m.ALL:
        generated = f"{cls.__name__}("
        assert cls.__doc__ and not cls.__doc__.startswith(generated)
