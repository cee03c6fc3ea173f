"""What external runners may report, and that nothing else of what they send does harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.errors import RemoteProtocolError
from loads.metrics.failures import ERROR, FAILURE, Failure
from loads.plan import RunPlan
from loads.protocol import external as x


def read(**message: Any) -> list[x.Report]:
    return x.parse(json.dumps(message).encode())


STATUS = [10, 2, 1, 2]
WHO = {"test": "t", "loads_status": STATUS, "agent_id": "a", "run_id": "r"}


@pytest.mark.parametrize(
    ("message", "reports"),
    [
        ({"data_type": "startTest", **WHO}, [x.TestStarted("t", "2")]),
        ({"data_type": "startTest", "test": "t"}, [x.TestStarted("t", "")]),
        ({"data_type": "startTest", "test": "t", "loads_status": "10,2,1,2"},
         [x.TestStarted("t", "2")]),
        ({"data_type": "addSuccess", **WHO}, [x.TestJudged("t", "2")]),
        ({"data_type": "stopTest", **WHO}, [x.TestStopped("t", "2")]),
        ({"data_type": "add_hit", "url": "http://h/", "method": "PUT", "status": 201,
          "elapsed": 0.25, "started": "2013-11-11T11:11:11"},
         [x.HitMade("http://h/", "PUT", 201, 0.25)]),
        ({"data_type": "addHit", "url": "u", "status": "404", "elapsed": "1.5"},
         [x.HitMade("u", "GET", 404, 1.5)]),
        ({"data_type": "add_hit", "url": "u", "status": None, "elapsed": 0},
         [x.HitMade("u", "GET", 1, 0.0)]),
        ({"data_type": "socket_open"}, [x.SocketUsed("ws_opened")]),
        ({"data_type": "socket_close"}, [x.SocketUsed("ws_closed")]),
        ({"data_type": "socket_message", "size": 7}, [x.SocketUsed("ws_messages_received", 7)]),
        ({"data_type": "incr_counter", "name": "n", "by": 3}, [x.Counted("n", 3)]),
        ({"data_type": "of-my-own", **WHO}, [x.Counted("of-my-own", 1)]),
        ({"data_type": "startTestRun"}, []),
        ({"data_type": "stopTestRun"}, []),
        ({"data_type": "batch", "counts": {"socket_open": [{}, {}], "startTest": [WHO]}},
         [x.SocketUsed("ws_opened"), x.SocketUsed("ws_opened"), x.TestStarted("t", "2")]),
    ],
)  # fmt: skip
def test_what_is_understood(message: dict[str, Any], reports: list[x.Report]) -> None:
    assert read(**message) == reports


@pytest.mark.parametrize(
    ("info", "failure"),
    [
        (["wrong", "AssertionError", "tb"], ("AssertionError", "wrong", "tb")),
        (["wrong", "<class 'my.Error'>", ""], ("my.Error", "wrong", "")),
        (["<type 'exceptions.KeyError'>", "'a b'", "tb"], ("KeyError", "'a b'", "tb")),
        (["JSError", '{"a": 1}', ""], ("JSError", '{"a": 1}', "")),
        (["wrong"], ("", "wrong", "")),
        ("all of it", ("", "all of it", "")),
        (None, ("", "None", "")),
    ],
)
def test_exceptions_in_either_order(info: Any, failure: tuple[str, str, str]) -> None:
    for kind, word in (("addFailure", FAILURE), ("addError", ERROR)):
        (report,) = read(data_type=kind, exc_info=info, **WHO)
        name, message, trace = failure
        wanted = Failure(word, name or word.title(), message, trace)
        assert report == x.TestJudged("t", "2", wanted)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"{}", b'"startTest"', b"\xff", b"[" * 100_000,
        b'{"data_type": 3}', b'{"data_type": ""}', b'{"data_type": "startTest"}',
        b'{"data_type": "startTest", "test": ["t"]}', b'{"data_type": "what?"}',
        b'{"data_type": "add_hit", "url": "u"}',
        b'{"data_type": "add_hit", "url": "u", "elapsed": -1}',
        b'{"data_type": "add_hit", "url": "u", "elapsed": NaN}',
        b'{"data_type": "add_hit", "url": "u", "elapsed": 1e999}',
        b'{"data_type": "add_hit", "url": "u", "elapsed": true}',
        b'{"data_type": "socket_message", "size": -1}',
        b'{"data_type": "batch"}', b'{"data_type": "batch", "counts": {"batch": [{}]}}',
        b'{"data_type": "batch", "counts": {"socket_open": 3}}',
        json.dumps({"data_type": "batch", "counts": {"socket_open": [{}] * 10_001}}).encode(),
        b'{"data_type": "socket_open", "x": "' + bytes(1 << 20) + b'"}',
    ],
)  # fmt: skip
def test_what_is_not(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        x.parse(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_KINDS = st.sampled_from([*x._READERS, "batch", "other"])
_KEYS = ("test", "loads_status", "url", "method", "status", "elapsed", "size", "name", "by",
         "exc_info", "counts")  # fmt: skip


@given(
    st.binary() | st.builds(
        lambda kind, rest: json.dumps({"data_type": kind, **rest}).encode(),
        _KINDS,
        st.dictionaries(st.sampled_from(_KEYS), _JSON),
    )
)  # fmt: skip
def test_anything_is_reports_or_a_protocol_error(data: bytes) -> None:
    try:
        reports = x.parse(data)
    except RemoteProtocolError:
        return
    for report in reports:
        if isinstance(report, x.HitMade):
            assert 0 <= report.seconds < 1e17 and 1 <= report.status < 1000
        json.dumps(str(report)).encode()


def test_what_a_program_is_told() -> None:
    told = x.environment(
        RunPlan("t", users=(3, 5), hits=(2, 4), server_url="http://h"), 1, 5,
        receiver="ipc:///r", agent_id="a/0", run_id="r1",
    )  # fmt: skip
    assert told == {
        "LOADS_ZMQ_RECEIVER": "ipc:///r",
        "LOADS_AGENT_ID": "a/0",
        "LOADS_RUN_ID": "r1",
        "LOADS_TOTAL_USERS": "5",
        "LOADS_CURRENT_USER": "5",
        "LOADS_SERVER_URL": "http://h",
        "LOADS_TOTAL_HITS": "6",
    }
    lasting = RunPlan("t", users=(1,), duration=30.0)
    told = x.environment(lasting, 0, 1, receiver="", agent_id="", run_id="")
    assert told["LOADS_DURATION"] == "30" and "LOADS_TOTAL_HITS" not in told
