"""The lines between a supervisor and its workers."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.errors import LocalProtocolError
from loads.events import (
    Beat,
    GroupEnded,
    Job,
    LeftAlone,
    LineReader,
    StartGroup,
    StopUsers,
    WorkerEnded,
    WorkerFailed,
    WorkerReady,
    decode,
    encode,
)
from loads.plan import RunPlan, Segment
from tests.unit.strategies import damaged, quick, run_plans, seconds, texts

segments = st.integers(1, 9).flatmap(
    lambda count: st.builds(Segment, st.integers(0, count - 1), st.just(count))
)
descriptors = st.integers(0, 1024)
jobs = st.builds(Job, run_plans(), segments, texts, texts, descriptors, descriptors)
events = (
    st.builds(StartGroup, st.integers(0, 9), seconds)
    | st.builds(StopUsers, seconds)
    | st.builds(Beat)
    | st.builds(LeftAlone, seconds)
    | st.builds(WorkerReady)
    | st.builds(WorkerFailed, st.integers(0, 255), texts, texts)
    | st.builds(GroupEnded, st.integers(0, 9))
    | st.builds(WorkerEnded)
)


@quick
@given(jobs | events)
def test_round_trip_in_one_line(event):
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1  # whatever line ends are in its texts
    assert decode(line) == event


JOB = json.loads(encode(Job(RunPlan("t"), Segment(), ".", "", 3, 4)))[1]


def a_job(**changes: object) -> bytes:
    return json.dumps(["Job", {**JOB, **changes}]).encode()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="not JSON"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b'["WorkerReady",', id="half a line"),
        pytest.param(b"null", id="not a pair"),
        pytest.param(b'["WorkerReady"]', id="no body"),
        pytest.param(b'["WorkerReady",{},{}]', id="three parts"),
        pytest.param(b'["Traceback",{}]', id="unknown kind"),
        pytest.param(b'["__class__",{}]', id="a name of Python's is no kind"),
        pytest.param(b'[["WorkerReady"],{}]', id="a kind that is a list"),
        pytest.param(b'["GroupEnded",{}]', id="a field is missing"),
        pytest.param(b'["WorkerReady",{"pid":1}]', id="a field too many"),
        pytest.param(b'["GroupEnded",5]', id="a body that is a number"),
        pytest.param(b'["Job",[]]', id="a job that is a list"),
        pytest.param(b'["Job",{}]', id="a job without a plan"),
        pytest.param(a_job(plan={}), id="a plan without a target"),
        pytest.param(a_job(plan={"target": "t", "users": [0]}), id="a plan that makes no sense"),
        pytest.param(a_job(plan=None), id="a plan of nothing"),
        pytest.param(a_job(segment=[1, 1]), id="a segment that does not exist"),
        pytest.param(a_job(segment=["0", 1]), id="a segment of text"),
    ],
)
def test_a_bad_line_is_a_bug_of_ours(line):
    with pytest.raises(LocalProtocolError):
        decode(line)


@quick
@given(
    st.binary(max_size=20)
    | damaged((jobs | events).map(encode).map(json.loads)).map(
        lambda data: json.dumps(data, default=repr).encode()
    )
)
def test_any_bytes_are_an_event_or_a_bug_of_ours(line):
    try:
        decode(line)
    except LocalProtocolError:
        return


@quick
@given(st.lists(events, max_size=6), st.data())
def test_lines_arrive_whole_however_they_were_chopped(sent, data):
    stream = b"".join(map(encode, sent))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    reader = LineReader()
    got = [reader.feed(stream[a:b]) for a, b in pairwise([0, *cuts, len(stream)])]
    assert [event for batch in got for event in batch] == sent


def test_lines_arrive_byte_by_byte():
    reader, stream = LineReader(), encode(GroupEnded(1)) + encode(WorkerEnded())
    got = [event for byte in stream for event in reader.feed(bytes([byte]))]
    assert got == [GroupEnded(1), WorkerEnded()]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", [], id="no bytes"),
        pytest.param(b"\n\n", [], id="empty lines"),
        pytest.param(encode(WorkerReady())[:-1], [], id="a line waits for its end"),
        pytest.param(b"\n" + encode(WorkerReady()), [WorkerReady()], id="after an empty line"),
    ],
)
def test_what_is_given_at_once(data, expected):
    assert LineReader().feed(data) == expected


def test_a_reader_goes_on_after_a_bad_line():
    reader = LineReader()
    with pytest.raises(LocalProtocolError):
        reader.feed(b"nonsense\n")
    assert reader.feed(encode(WorkerEnded())) == [WorkerEnded()]
