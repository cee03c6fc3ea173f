"""How long the phases of a hit took: opening a connection, sending, waiting, receiving.

The connection's part (look-up, connect, TLS) is measured for each connection that is opened; the
rest for each hit.  Both come from where urllib3 does these things; :func:`measure` puts a watch
there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import urllib3.connection
import urllib3.util.connection

from loads.clients.hits import no_answer
from loads.clients.names import Lookups
from loads.metrics.series import CONNECTION, NoAnswer, SeriesKey, Verdict
from loads.recorder.current import current
from loads.recorder.writer import SeriesRecord


class Exchange(threading.local):
    """The hit that the calling greenlet is in the middle of; times are of the performance counter.

    ``opening`` is how many seconds of it went into opening a connection.
    """

    opening = 0.0
    sent_at = 0.0
    answered_at = 0.0
    attempts: list[Attempt] | None = None  #: while a hit is under way


class Attempt:
    """One request that urllib3 sent: it may send it again, as the test's adapter tells it to."""

    def __init__(self) -> None:
        self.start = self.end = time.perf_counter()
        self.outcome = int(NoAnswer.CUT)

    def ended(self, outcome: int) -> None:
        """It got an answer, or will not get one."""
        self.end, self.outcome = time.perf_counter(), outcome


_exchange = Exchange()


def begin() -> None:
    """A hit starts."""
    exchange = _exchange
    exchange.opening = exchange.sent_at = exchange.answered_at = 0.0
    exchange.attempts = []


def repeated() -> list[Attempt]:
    """The hit has ended: its attempts before the last one."""
    attempts, _exchange.attempts = _exchange.attempts or [], None
    return attempts[:-1]


def record(series: SeriesRecord, start: float, end: float) -> None:
    """Record the phases of the hit that began at ``start`` and has ended completely at ``end``."""
    exchange = _exchange
    if not exchange.opening:
        current().count("connections_reused")
    if exchange.sent_at >= start and exchange.answered_at >= exchange.sent_at:
        series.record_phases(
            int((exchange.sent_at - start - exchange.opening) * 1e6),
            int((exchange.answered_at - exchange.sent_at) * 1e6),
            int((end - exchange.answered_at) * 1e6),
        )


def measure() -> None:
    """Watch urllib3.  A greenlet that does several things at once measures the last of them."""
    connection = urllib3.connection.HTTPConnection
    request, getresponse = connection.request, connection.getresponse

    def timed_request(self: Any, *args: Any, **kwargs: Any) -> Any:
        attempt = Attempt()
        if _exchange.attempts is not None:
            _exchange.attempts.append(attempt)
        try:
            return request(self, *args, **kwargs)
        except Exception as error:
            attempt.ended(no_answer(error))
            raise
        finally:
            _exchange.sent_at = time.perf_counter()

    def timed_getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        outcome = int(NoAnswer.CUT)
        try:
            answer = getresponse(self, *args, **kwargs)
            outcome = answer.status
            return answer
        except Exception as error:
            outcome = no_answer(error)
            raise
        finally:
            _exchange.answered_at = time.perf_counter()
            if _exchange.attempts:
                _exchange.attempts[-1].ended(outcome)

    connection.request = timed_request  # type: ignore[method-assign]
    connection.getresponse = timed_getresponse  # type: ignore[method-assign]
    util: Any = urllib3.util.connection
    util.create_connection = _timed("connect", util.create_connection, _connected_to)
    tls: Any = urllib3.connection
    wrap = "_ssl_wrap_socket_and_match_hostname"
    setattr(tls, wrap, _timed("tls", getattr(tls, wrap), _wrapped_for))


def _connected_to(args: Any, kwargs: Any) -> str:
    host, port = kwargs.get("address") or args[0]
    return f"{host}:{port}"


def _wrapped_for(args: Any, kwargs: Any) -> str:
    return str(kwargs.get("server_hostname") or "")


def _timed(
    phase: str, function: Callable[..., Any], peer: Callable[[Any, Any], str]
) -> Callable[..., Any]:
    """``function``, recorded as a phase of opening connections, without the look-ups in it."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        start, looked_up = time.perf_counter(), Lookups.seconds
        verdict = Verdict.ERROR
        try:
            result = function(*args, **kwargs)
            verdict = Verdict.SUCCESS
            return result
        finally:
            taken = time.perf_counter() - start
            _exchange.opening += taken
            own = max(0.0, taken - (Lookups.seconds - looked_up))
            series = current().series(SeriesKey(CONNECTION, peer(args, kwargs), phase))
            series.record(int(own * 1e6), verdict)

    return timed
