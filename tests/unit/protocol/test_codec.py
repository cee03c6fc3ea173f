"""The codec: what we write we can read, and what a peer writes cannot hurt us."""

from __future__ import annotations

import dataclasses

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loads.errors import RemoteProtocolError
from loads.metrics.histogram import bucket_of
from loads.metrics.series import HIT, SeriesKey
from loads.metrics.summary import AgentView, RunChanges, RunView
from loads.metrics.tally import Tally
from loads.metrics.timeline import Second
from loads.plan import RunPlan
from loads.protocol import limits
from loads.protocol import messages as m
from loads.protocol.codec import PROTOCOL, VERSION, VersionMismatch, decode, decode_all, encode
from tests.unit.protocol.messages_strategies import BY_KIND, messages
from tests.unit.strategies import damaged, garbage, quick, run_plans, tallies

PLAN = RunPlan("test_shop", agents=1)
KEY = SeriesKey(HIT, "http://host/", "GET")
KINDS = [pytest.param(cls, id=cls.__name__) for cls in m.ALL]

#: A message of each kind as small as it can be, and so with all its defaults.
SMALLEST: dict[type[m.Message], dict[str, object]] = {
    m.Register: {"agent_id": "a", "host": "h", "pid": 1, "workers": 1, "version": "1"},
    m.Ready: {"run_id": "r", "workers": ["w"]},
    m.CannotRun: {"run_id": "r", "code": 2, "message": "no"},
    m.Extended: {"run_id": "r", "number": 1},
    m.Report: {"run_id": "r", "worker": "w", "sequence": 1, "tally": Tally().write()},
    m.Finished: {"run_id": "r"},
    m.LastWords: {
        "run_id": "r",
        "agent_id": "a",
        "worker": "w",
        "hits": 0,
        "tests": 0,
        "under_way": 0,
    },
    m.Bye: {},
    m.Heartbeat: {},
    m.Welcome: {"heartbeat": 1.0, "timeout": 10.0},
    m.WelcomeBack: {"heartbeat": 1.0, "timeout": 10.0},
    m.Rejected: {"reason": "no"},
    m.WhoAreYou: {},
    m.Prepare: {"run_id": "r", "plan": PLAN.pack(), "digest": "d", "bundle": b""},
    m.Start: {"run_id": "r", "delay": 0.1},
    m.Extend: {"run_id": "r", "number": 1, "plan": PLAN.pack()},
    m.StopLoad: {"run_id": "r", "grace": 0.0},
    m.Acknowledge: {"run_id": "r", "worker": "w", "sequence": 1},
    m.Release: {"run_id": "r"},
    m.Ping: {"request": 1},
    m.Submit: {"request": 1, "plan": PLAN.pack(), "digest": "d", "bundle": b""},
    m.StopRun: {"request": 1, "run_id": "r", "grace": 0.0},
    m.GetRun: {"request": 1, "run_id": "r"},
    m.ListRuns: {"request": 1},
    m.ListAgents: {"request": 1},
    m.Purge: {"request": 1},
    m.Pong: {
        "request": 1,
        "version": "1",
        "backend": "tcp://127.0.0.1:1",
        "publisher": "tcp://127.0.0.1:2",
        "agents": 0,
        "idle_agents": 0,
        "runs": 0,
    },
    m.Accepted: {"request": 1, "run_id": "r"},
    m.RunSnapshot: {"request": 1, "number": 1, "view": {"run_id": "r", "plan": PLAN.pack()}},
    m.RunList: {"request": 1, "runs": []},
    m.AgentList: {"request": 1, "agents": []},
    m.Purged: {"request": 1, "run_ids": []},
    m.Refused: {"request": 1, "code": 6, "message": "no"},
    m.Update: {"number": 1, "changes": {"run_id": "r"}},
}


def framed(cls: type[m.Message], body: object) -> list[bytes]:
    """The frames of a body that no message stands behind."""
    return [PROTOCOL, cls.__name__.encode(), msgpack.packb(body)]


A_REPORT = m.Report("r", "a/0", 1, Tally())


def is_read_or_refused(frames: list[bytes]) -> m.Message | None:
    """The message of some frames, or None; any other error fails the test."""
    try:
        message = decode(frames)
    except RemoteProtocolError:
        return None
    assert isinstance(message, m.Message)
    return message


# -- what we write -------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", KINDS)
def test_every_kind_round_trips(cls):
    @settings(quick, max_examples=5)
    @given(BY_KIND[cls])
    def check(message):
        frames = encode(message)
        assert frames[:2] == [PROTOCOL, cls.__name__.encode()]
        assert decode(frames) == message
        assert decode([memoryview(frame) for frame in frames], (cls,)) == message
        assert encode(decode(frames)) == frames

    check()


@pytest.mark.parametrize("cls", KINDS)
def test_the_body_is_the_fields_by_name(cls):
    @settings(quick, max_examples=1)
    @given(BY_KIND[cls])
    def check(message):
        body = msgpack.unpackb(encode(message)[2])
        assert list(body) == [f.name for f in dataclasses.fields(cls)]

    check()


# -- versions that differ a little -----------------------------------------------------------------


def test_the_smallest_messages_are_all_there():
    assert set(SMALLEST) == set(m.ALL)


@pytest.mark.parametrize("cls", KINDS)
def test_missing_fields_with_defaults_are_filled(cls):
    message = decode(framed(cls, SMALLEST[cls]))
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            assert getattr(message, field.name) == field.default
        else:
            assert field.name in SMALLEST[cls]


@pytest.mark.parametrize("cls", KINDS)
def test_unknown_fields_are_a_newer_peers(cls):
    newer = {**SMALLEST[cls], "added_in_2031": [1, {"deep": None}], "__class__": "x", "pack": 1}
    assert decode(framed(cls, newer)) == decode(framed(cls, SMALLEST[cls]))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(("view",), id="in a view"),
        pytest.param(("view", "plan"), id="in a plan"),
        pytest.param(("view", "agents", 0), id="in an agent of a view"),
    ],
)
def test_unknown_fields_are_ignored_at_every_depth(path):
    agent = AgentView("a", "h", 2, "running", 10, None)
    message = m.RunSnapshot(1, 1, RunView("r", PLAN, agents=(agent,)))
    body = msgpack.unpackb(encode(message)[2])
    inner = body
    for step in path:
        inner = inner[step]
    inner["added_in_2031"] = 1
    assert decode(framed(m.RunSnapshot, body)) == message


# -- what a peer may not send ----------------------------------------------------------------------

REQUIRED = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}") for cls in m.ALL for name in SMALLEST[cls]
]


@pytest.mark.parametrize(("cls", "name"), REQUIRED)
def test_a_missing_field_is_the_peers_error(cls, name):
    body = {key: value for key, value in SMALLEST[cls].items() if key != name}
    with pytest.raises(RemoteProtocolError):
        decode(framed(cls, body))


FIELDS = [
    pytest.param(cls, field.name, id=f"{cls.__name__}.{field.name}")
    for cls in m.ALL
    for field in dataclasses.fields(cls)
]


MAY_BE_NOTHING = {
    (m.Report, "unknown"),
    (m.Heartbeat, "load"),
    (m.Submit, "patience"),
    (m.StopRun, "grace"),
}


@pytest.mark.parametrize(("cls", "name"), FIELDS)
def test_a_field_of_another_type_is_the_peers_error(cls, name):
    """No field is true, an extension type or a list of maps, and few may be nothing."""
    wrong: list[object] = [True, [{}], msgpack.ExtType(5, b"x"), msgpack.Timestamp(1)]
    if (cls, name) not in MAY_BE_NOTHING:
        wrong.append(None)
    for value in wrong:
        with pytest.raises(RemoteProtocolError):
            decode(framed(cls, {**SMALLEST[cls], name: value}))


@pytest.mark.parametrize(
    ("cls", "body"),
    [
        pytest.param(m.Ping, {"request": 1.0}, id="a float is no whole number"),
        pytest.param(m.Ping, {"request": "1"}, id="text is no number"),
        pytest.param(m.Bye, {"reason": b"x"}, id="bytes are no text"),
        pytest.param(m.Ping, [1], id="a list of fields"),
        pytest.param(m.Ping, None, id="no body"),
        pytest.param(m.Ping, 7, id="a number for a body"),
        pytest.param(m.Ping, {1: 1, "request": 1}, id="a number for a name"),
        pytest.param(m.Ready, {"run_id": "r", "workers": "w"}, id="text is no list"),
        pytest.param(m.Ready, {"run_id": "r", "workers": {"w": 1}}, id="a map is no list"),
        pytest.param(m.Start, {"run_id": "r", "delay": "1"}, id="text is no float"),
        pytest.param(m.Start, {"run_id": "r", "delay": float("nan")}, id="nan is no number"),
        pytest.param(m.Start, {"run_id": "r", "delay": float("inf")}, id="for ever is too long"),
        pytest.param(m.Welcome, {"heartbeat": 1, "timeout": float("-inf")}, id="less than all"),
        pytest.param(
            m.Update,
            {"number": 1, "changes": {"run_id": "r", "elapsed": float("inf")}},
            id="changes for ever",
        ),
        pytest.param(m.Update, {"number": 1, "changes": []}, id="a list is no changes"),
        pytest.param(m.Update, {"number": 1, "changes": {}}, id="changes of no run"),
    ],
)
def test_a_body_that_is_not_the_kinds_is_the_peers_error(cls, body):
    with pytest.raises(RemoteProtocolError, match="This is no"):
        decode(framed(cls, body))


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([], id="nothing"),
        pytest.param([b""], id="an empty frame"),
        pytest.param([PROTOCOL], id="the protocol alone"),
        pytest.param([PROTOCOL, b"Heartbeat"], id="no body"),
        pytest.param([PROTOCOL, b"Heartbeat", b"\x80", b""], id="a frame too many"),
        pytest.param([b"", PROTOCOL, b"Heartbeat", b"\x80"], id="a REQ socket's delimiter"),
        pytest.param([b"", b"", b""], id="three empty frames"),
        pytest.param([b"HTTP/1.1", b"Heartbeat", b"\x80"], id="another protocol"),
        pytest.param([b"LOADS/", b"Heartbeat", b"\x80"], id="a version of no digits"),
        pytest.param([b"LOADS/1x", b"Heartbeat", b"\x80"], id="a version and more"),
        pytest.param([b"LOADS/1\n", b"Heartbeat", b"\x80"], id="a version and a line end"),
        pytest.param([b"LOADS/" + b"9" * 1000, b"Heartbeat", b"\x80"], id="an endless version"),
        pytest.param([b"loads/1", b"Heartbeat", b"\x80"], id="another case"),
        pytest.param([PROTOCOL, b"Heartbeat", b""], id="an empty body"),
        pytest.param([PROTOCOL, b"Heartbeat", b"\xc1"], id="a byte that msgpack never uses"),
        pytest.param([PROTOCOL, b"Heartbeat", b"\x80\x80"], id="two bodies in one"),
        pytest.param([PROTOCOL, b"Heartbeat", b"\x81"], id="half a body"),
        pytest.param([PROTOCOL, b"Heartbeat", b"\xdf\xff\xff\xff\xff"], id="a map of 4 thousand M"),
        pytest.param([PROTOCOL, b"Heartbeat", b"\xdd\xff\xff\xff\xff"], id="a list as long"),
        pytest.param([PROTOCOL, b"Heartbeat", b"\x91" * 100_000], id="lists in lists in lists"),
        pytest.param([PROTOCOL, b"Bye", b"\x81\xa6reason\xa1\xff"], id="text that is not UTF-8"),
        pytest.param([PROTOCOL, b"Bye", b"\x81\x90\x01"], id="a list for a name"),
    ],
)
def test_frames_that_are_no_message(frames):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(frames)
    assert not isinstance(caught.value, VersionMismatch)


@pytest.mark.parametrize("version", [0, VERSION + 1, 999_999_999])
def test_another_version_is_named(version):
    with pytest.raises(VersionMismatch) as caught:
        decode([b"LOADS/%d" % version, b"a kind to come", b"a body to come"])
    assert f"LOADS/{version}" in caught.value.message
    assert f"LOADS/{VERSION}" in caught.value.message
    assert "same version" in caught.value.hint


# -- kinds ---------------------------------------------------------------------------------------

DIRECTIONS = {
    "from agents": m.FROM_AGENT,
    "to agents": m.TO_AGENT,
    "from clients": m.FROM_CLIENT,
    "to clients": m.TO_CLIENT,
    "published": m.PUBLISHED,
}


@pytest.mark.parametrize("allowed", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_kind_is_taken_only_where_it_may_be_sent(allowed):
    for cls in m.ALL:
        frames = framed(cls, SMALLEST[cls])
        if cls in allowed:
            assert type(decode(frames, allowed)) is cls
        else:
            with pytest.raises(RemoteProtocolError, match="may not send"):
                decode(frames, allowed)


@pytest.mark.parametrize(
    "kind",
    [
        b"__class__",
        b"__init__",
        b"__reduce__",
        b"encode",
        b"decode",
        b"Message",
        b"RunPlan",
        b"Tally",
        b"Literal",
        b"_check_ids",
        b"heartbeat",
        b"Heartbeat ",
        b"Heartbeat\0",
        b"",
        b"\xff\xfe",
        b"x" * 100_000,
    ],
)
def test_a_kind_is_one_of_a_list_and_never_an_attribute(kind):
    with pytest.raises(RemoteProtocolError, match="may not send") as caught:
        decode([PROTOCOL, kind, b"\x80"])
    assert len(caught.value.message) < 300, "what goes to the log is short"


# -- garbage and damage --------------------------------------------------------------------------


@settings(quick, max_examples=100)
@given(st.lists(st.binary(max_size=30) | st.sampled_from([PROTOCOL, b"Report"]), max_size=4))
def test_garbage_frames_are_refused_or_read(frames):
    is_read_or_refused(frames)


def packed(value: object) -> bytes:
    """msgpack of plain data; numbers that have no form in it are cut to what fits."""
    return msgpack.packb(value, default=lambda number: number & (1 << 63))


@settings(quick, max_examples=40)
@given(st.sampled_from(m.ALL), st.binary(max_size=40) | garbage.map(packed))
def test_garbage_bodies_are_refused_or_read(cls, body):
    is_read_or_refused([PROTOCOL, cls.__name__.encode(), body])


@settings(quick, max_examples=100)
@given(st.data(), messages)
def test_damaged_fields_are_refused_or_read_as_what_can_be_sent(data, message):
    """One node of a valid body, at any depth, is something else."""
    whole = st.just(msgpack.unpackb(encode(message)[2]))
    message = is_read_or_refused(framed_bytes(type(message), packed(data.draw(damaged(whole)))))
    if message is not None:
        assert decode(encode(message)) == message


@settings(quick, max_examples=40)
@given(
    st.lists(
        messages.map(encode)
        | tallies().map(lambda tally: encode(dataclasses.replace(A_REPORT, tally=tally)))
        | garbage.map(lambda value: framed_bytes(m.Report, packed({"tally": value})))
        | st.lists(st.binary(max_size=9), max_size=4),
        max_size=6,
    )
)
def test_many_at_once_are_what_they_are_alone(many):
    for frames, found in zip(many, decode_all(many, m.FROM_AGENT), strict=True):
        try:
            assert found == decode(frames, m.FROM_AGENT)
        except RemoteProtocolError as error:
            assert (type(found), str(found)) == (type(error), str(error))


def framed_bytes(cls: type[m.Message], body: bytes) -> list[bytes]:
    return [PROTOCOL, cls.__name__.encode(), body]


@settings(quick, max_examples=40)
@given(damaged(tallies().map(Tally.pack)))
def test_a_damaged_tally_is_refused_or_read_as_what_can_be_sent(tally):
    frames = framed_bytes(m.Report, packed({**SMALLEST[m.Report], "tally": tally}))
    message = is_read_or_refused(frames)
    if message is not None:
        assert decode(encode(message)) == message


@settings(quick, max_examples=100)
@given(damaged(run_plans().map(RunPlan.pack)))
def test_a_damaged_plan_is_refused_or_read_as_what_can_be_sent(plan):
    frames = framed_bytes(m.Prepare, packed({**SMALLEST[m.Prepare], "plan": plan}))
    message = is_read_or_refused(frames)
    if message is not None:
        assert decode(encode(message)) == message


NO_TALLIES = [
    pytest.param([[], [], [], {}, [], 0.0], id="counters that are a list"),
    pytest.param([[], [], {}, [], [], 0.0], id="counts that are a list"),
    pytest.param([[], [], {}, {}, [], float("nan")], id="it lasted for nan seconds"),
    pytest.param([[], [], {}, {}, [], float("inf")], id="it lasted for ever"),
    pytest.param(
        [[], [["error", "E", "", "", [1, float("nan"), 0.0, []]]], {}, {}, [], 0.0],
        id="a failure at nan",
    ),
    pytest.param(
        [[["hit", "/", "GET", [[1, 1, 1, [1, 1]], [], 0, 0]]], [], {}, {}, [], 0.0],
        id="a hit without an outcome",
    ),
    pytest.param(
        [[["hit", "/", "GET", [[1, 1, 1, [1 << 20, 1]], [200, 1], 0, 0]]], [], {}, {}, [], 0.0],
        id="a bucket that does not exist",
    ),
]


@pytest.mark.parametrize("tally", NO_TALLIES)
def test_a_tally_that_makes_no_sense_is_the_peers_error(tally):
    """All consumers compute with these numbers, and none of them checks again."""
    with pytest.raises(RemoteProtocolError):
        decode(framed(m.Report, {**SMALLEST[m.Report], "tally": tally}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("target", "", id="no target"),
        pytest.param("target", 5, id="a target that is no text"),
        pytest.param("users", [], id="no users"),
        pytest.param("users", [True], id="true users"),
        pytest.param("agents", 1.5, id="one and a half agents"),
        pytest.param("agents", -1, id="fewer than no agents"),
        pytest.param("server_url", 5, id="a URL that is no text"),
        pytest.param("grace", float("nan"), id="a grace of nan"),
        pytest.param("duration", 10.0, id="hits and a duration"),
        pytest.param("config", [1], id="a config that is no map"),
    ],
)
def test_a_plan_that_makes_no_sense_is_the_peers_error(name, value):
    """The broker computes with a plan, and the agents run it."""
    with pytest.raises(RemoteProtocolError):
        decode(framed(m.Submit, {**SMALLEST[m.Submit], "plan": {**PLAN.pack(), name: value}}))


def test_what_several_peers_reported_can_be_sent_on():
    """Each number has room on the wire, so their sum must have, too."""
    total = Tally()
    for _ in range(3):
        tally = Tally()
        tally.counters["bytes"] = (1 << 63) - 1
        tally.line(KEY).record((1 << 63) - 1, 200, sent=(1 << 63) - 1)
        message = decode(encode(m.Report("r", "w", 1, tally)))
        total.merge(message.tally)
    assert decode(encode(m.Update(1, RunChanges("r", tally=total)))).changes.tally.hits == 3


def test_a_report_of_more_than_can_be_is_refused():
    tally = Tally()
    tally.line(KEY).record(1000, 200)
    tally.line(KEY).latency.counts = {bucket_of(1000): limits.MAX_RECORDED + 1}
    tally.line(KEY).outcomes = {200: limits.MAX_RECORDED + 1}
    with pytest.raises(ValueError, match="records"):
        m.Report("r", "w", 1, tally)


def test_a_report_of_more_seconds_than_can_be_is_refused():
    tally = Tally()
    for second in range(limits.MAX_SECONDS):
        tally.timeline.add(second, Second(1))
    assert decode(encode(m.Report("r", "w", 1, tally)))
    tally.timeline.add(limits.MAX_SECONDS, Second(1))
    with pytest.raises(ValueError, match="seconds"):
        m.Report("r", "w", 1, tally)


def test_text_without_a_utf8_form_can_be_sent():
    """An undecodable file name in an error's text, as Python spells it in a str."""
    assert decode(encode(m.CannotRun("r", 2, "No module in caf\udce9.py.")))


def spoiled(data: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    """Bytes after some edits: a byte changed, put in or taken out."""
    spoiled = bytearray(data)
    for how, where, byte in edits:
        at = where % (len(spoiled) + 1)
        if how == "insert":
            spoiled.insert(at, byte)
        elif at < len(spoiled):
            spoiled[at : at + 1] = b"" if how == "delete" else bytes([spoiled[at] ^ byte])
    return bytes(spoiled)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete"]), st.integers(0, 1 << 16), st.integers(1, 255)
    ),
    min_size=1,
    max_size=4,
)


@settings(quick, max_examples=100)
@given(messages, st.integers(0, 2), EDITS)
def test_frames_damaged_on_the_way_are_refused_or_read(message, which, edits):
    frames = encode(message)
    frames[which] = spoiled(frames[which], edits)
    is_read_or_refused(frames)
