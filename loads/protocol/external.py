"""What a test runner in another language reports: the protocol of Loads 1's external runners.

A program is started for each virtual user and learns from its environment what it is to do
(:func:`environment`).  It connects a ZeroMQ PUSH socket to ``LOADS_ZMQ_RECEIVER`` and sends one
message for each thing that happens: a JSON object in UTF-8, alone in its frame::

    {"data_type": "startTest", "test": "t", "loads_status": [hits, users, hit, user], ...}

=================================  ================================================================
``startTest``, ``stopTest``        a test begins and has ended: ``test``, ``loads_status``
``addSuccess``                     its verdict, in between: ``test``, ``loads_status``
``addFailure``, ``addError``       likewise, with ``exc_info``: message, type, traceback
``add_hit``                        a request: ``url``, ``method``, ``status``, ``elapsed`` (seconds)
``socket_open``, ``socket_close``  a web socket was opened, was closed
``socket_message``                 one message came in; ``size`` in bytes
``incr_counter``                   adds ``by``, or 1, to a counter called ``name``
``batch``                          many at once: ``counts`` maps types to lists of messages
=================================  ================================================================

As in Loads 1, a message of any other type that has a ``test`` and a ``loads_status`` adds one to
the counter of that name, and ``startTestRun`` and ``stopTestRun`` mean nothing here.  Nobody looks
at ``agent_id`` and ``run_id``: the socket is this worker's own.  There are no answers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from loads.errors import RemoteProtocolError
from loads.metrics.failures import ERROR, FAILURE, Failure
from loads.plan import RunPlan

MAX_MESSAGE = 1 << 20  #: bytes of a message
MAX_BATCH = 10_000  #: messages in a batch
MAX_NAME = 1_000  #: characters of a test's name, a URL, a method, a counter's name
MAX_NUMBER = 1 << 53  #: the greatest number that JSON's readers agree on

_IGNORED = ("startTestRun", "stopTestRun")
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_CLASS = re.compile(r"<(?:type|class) '(?:exceptions\.)?([\w.]+)'>")


@dataclass(frozen=True)
class TestStarted:
    """A test begins.  ``user`` is whose, as the program counts its users; empty if not said."""

    test: str
    user: str


@dataclass(frozen=True)
class TestJudged:
    """A test's verdict; a success if there is no ``failure``."""

    test: str
    user: str
    failure: Failure | None = None


@dataclass(frozen=True)
class TestStopped:
    """A test has ended."""

    test: str
    user: str


@dataclass(frozen=True)
class HitMade:
    """A request was answered, or was not: then its ``status`` is below 100."""

    url: str
    method: str
    status: int
    seconds: float


@dataclass(frozen=True)
class SocketUsed:
    """Something happened on a web socket: adds to one of our counts, by its name."""

    count: str
    size: int = 0


@dataclass(frozen=True)
class Counted:
    """Adds to a counter of the test's own."""

    name: str
    by: int


Report = TestStarted | TestJudged | TestStopped | HitMade | SocketUsed | Counted


def environment(
    plan: RunPlan, group: int, user: int, *, receiver: str, agent_id: str, run_id: str
) -> dict[str, str]:
    """What the program of a user, numbered from 1, finds in its environment."""
    told = {
        "LOADS_ZMQ_RECEIVER": receiver,
        "LOADS_AGENT_ID": agent_id,
        "LOADS_RUN_ID": run_id,
        "LOADS_TOTAL_USERS": str(plan.users[group]),
        "LOADS_CURRENT_USER": str(user),
        "LOADS_SERVER_URL": plan.server_url,
    }
    if plan.duration is None:
        return {**told, "LOADS_TOTAL_HITS": str(sum(plan.hits))}
    return {**told, "LOADS_DURATION": f"{plan.duration:.15g}"}


def parse(data: bytes) -> list[Report]:
    """The reports in one message.  Raises :class:`RemoteProtocolError` for whatever else it is."""
    if len(data) > MAX_MESSAGE:
        raise RemoteProtocolError(f"A message has at most {MAX_MESSAGE} bytes.")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("A message is no JSON.") from error
    return _read(message)


def _read(message: Any, nested: bool = False) -> list[Report]:
    if not isinstance(message, dict):
        raise RemoteProtocolError("A message is an object.")
    kind = message.get("data_type")
    if kind == "batch" and not nested:
        return _read_batch(message)
    if not isinstance(kind, str) or not kind:
        raise RemoteProtocolError("A message has a data_type.")
    if kind in _IGNORED:
        return []
    if kind in _READERS:
        return [_READERS[kind](message)]
    if "test" in message and "loads_status" in message:
        return [Counted(_clipped(kind), 1)]
    raise RemoteProtocolError(f"There is no data_type {kind[:40]!r}.")


def _read_batch(message: Mapping[str, Any]) -> list[Report]:
    counts = message.get("counts")
    if not isinstance(counts, dict):
        raise RemoteProtocolError("A batch has counts.")
    parts = [
        {**part, "data_type": kind} if isinstance(part, dict) else part
        for kind, listed in counts.items()
        for part in (listed if isinstance(listed, list) else [listed])
    ]
    if len(parts) > MAX_BATCH:
        raise RemoteProtocolError(f"A batch has at most {MAX_BATCH} messages.")
    return [report for part in parts for report in _read(part, nested=True)]


def _test(message: Mapping[str, Any]) -> tuple[str, str]:
    """Which test, and whose."""
    status = message.get("loads_status")
    if isinstance(status, str):  # loads.js joins it by commas
        status = status.split(",")
    user = status[3] if isinstance(status, list) and len(status) > 3 else ""
    return _text(message, "test"), str(user)[:20] if isinstance(user, (str, int)) else ""


def _failure(message: Mapping[str, Any], kind: str) -> Failure:
    """``exc_info``, of which some send the type before the message."""
    given = message.get("exc_info", message.get("exc", ()))
    texts = [str(part) for part in given] if isinstance(given, (list, tuple)) else [str(given)]
    words, name, trace = (*texts, "", "", "")[:3]
    if name and _is_name(words) and not _is_name(name):
        words, name = name, words
    found = _CLASS.fullmatch(name)
    return Failure(kind, found[1] if found else name or kind.title(), words, trace)


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text) or _CLASS.fullmatch(text))


def _hit(message: Mapping[str, Any]) -> HitMade:
    status = str(message.get("status"))
    code = int(status) if re.fullmatch("[0-9]{3}", status) else 0
    return HitMade(
        _text(message, "url"),
        _text(message, "method") if "method" in message else "GET",
        code if 100 <= code < 1000 else 1,
        _number(message, "elapsed"),
    )


def _text(message: Mapping[str, Any], name: str) -> str:
    text = message.get(name)
    if not isinstance(text, str) or not text:
        raise RemoteProtocolError(f"A {message['data_type'][:40]} has a {name}, which is a text.")
    return _clipped(text)


def _clipped(text: str) -> str:
    return text[:MAX_NAME].encode(errors="backslashreplace").decode()


def _number(message: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A number from 0 up, which may be spelled out."""
    given = message.get(name, default)
    try:
        value = math.nan if isinstance(given, bool) or given is None else float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0 <= value <= MAX_NUMBER:
        raise RemoteProtocolError(f"A {message['data_type'][:40]} has {name}, a number from 0 up.")
    return value


_READERS: dict[str, Callable[[Mapping[str, Any]], Report]] = {
    "startTest": lambda m: TestStarted(*_test(m)),
    "stopTest": lambda m: TestStopped(*_test(m)),
    "addSuccess": lambda m: TestJudged(*_test(m)),
    "addFailure": lambda m: TestJudged(*_test(m), _failure(m, FAILURE)),
    "addError": lambda m: TestJudged(*_test(m), _failure(m, ERROR)),
    "add_hit": _hit,
    "addHit": _hit,
    "socket_open": lambda m: SocketUsed("ws_opened"),
    "socket_close": lambda m: SocketUsed("ws_closed"),
    "socket_message": lambda m: SocketUsed("ws_messages_received", int(_number(m, "size", 0))),
    "incr_counter": lambda m: Counted(_text(m, "name"), int(_number(m, "by", 1))),
}
