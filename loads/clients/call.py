"""One call of a session's method: sent, measured, and made into the response of Requests."""

from __future__ import annotations

from time import monotonic
from typing import Any

import requests
from requests import exceptions
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, merge_cookies
from requests.models import REDIRECT_STATI

from loads.clients.heads import Head
from loads.clients.hits import Choices, no_answer, series_key
from loads.clients.http import Connection, open_connection
from loads.clients.plain import Standing
from loads.clients.redirects import follow
from loads.clients.response import LazyResponse, decoded, respond
from loads.clients.template import EMPTY, Body, Prepared, Shape
from loads.metrics.series import NoAnswer
from loads.recorder.current import current, installed
from loads.recorder.writer import CONNECTIONS_REUSED, HITS_STARTED, Recorder, SeriesRecord


def perform(
    session: requests.Session,
    standing: Standing,
    shape: Shape,
    body: Body,
    timeout: Any,
    follow_redirects: bool,
) -> requests.Response:
    """Send a request, record the hit, give the response.  Raises ``requests`` errors.

    What happens on every request is done here and in what is called from here: each further layer
    would cost as much as a hundredth of it.
    """
    recorder = installed[0] if installed else current()
    if shape.recorder is recorder and not standing.name:
        series: SeriesRecord = shape.series  # type: ignore[assignment]
    else:
        series = _series_for(shape, recorder, session, standing)
    cookie = None
    if session.cookies._cookies:  # type: ignore[attr-defined]
        cookie = cookie_for(session, standing, shape)
    data = shape.whole if body is EMPTY and cookie is None else shape.wire(body, cookie)
    idle = standing.idle[shape.origin]
    recorder.cells[HITS_STARTED] += 1
    to_connect, to_read = timeout if type(timeout) is tuple else (timeout, timeout)
    connection, opened, reused = None, 0.0, True
    start = monotonic()
    try:
        while idle:
            connection = idle.pop()
            if connection.is_usable(start):
                recorder.cells[CONNECTIONS_REUSED] += 1
                break
            connection.close()
            connection = None
        if connection is None:
            connection = _connect(session, shape, body, cookie, to_connect)
            opened, reused = monotonic() - start, False
        content = connection.exchange(data, to_read, shape.last)
    except BaseException as error:  # also when the greenlet is cut: the target counted it
        _record_no_answer(error, series, start, (shape, body, cookie))
        if connection is not None:
            connection.give_up(reused and isinstance(error, exceptions.ConnectionError))
        raise
    head, end = connection.head, connection.ended_at
    series.record_answer(
        start, opened, connection.sent_at, connection.answered_at, end,
        head.status, len(body.content or b""), len(content),
    )  # fmt: skip
    if end > recorder.touch_at:
        recorder.touch(end)
    if head.keep_alive:
        idle.append(connection)
    else:
        connection.close()
    response = respond(head, content, (shape, body, cookie, session, end - start))
    if head.plain and Choices.watch is None:
        return response
    return _finish(response, head, timeout, follow_redirects)


def cookie_for(session: requests.Session, standing: Standing, shape: Shape) -> str | None:
    """The session's cookies for a request; what somebody else prepared has them already."""
    if type(shape) is Prepared:
        return None
    return standing.cookie_headers.header(session.cookies, shape, shape.prepared)


def _series_for(
    shape: Shape, recorder: Recorder, session: requests.Session, standing: Standing
) -> SeriesRecord:
    """Where the hit is recorded; remembered with its shape unless the test names it."""
    series = recorder.series(series_key(shape.method, shape.url, standing.name))
    if not standing.name:
        shape.recorder, shape.series = recorder, series
    return series


def _connect(
    session: requests.Session, shape: Shape, body: Body, cookie: str | None, timeout: float | None
) -> Connection:
    origin = shape.origin
    if origin.scheme == "https":
        # Requests' own pool for it is made, too, for who looks for that; it stays empty
        adapter: Any = session.get_adapter(shape.url)
        adapter.get_connection_with_tls_context(
            shape.prepare(body, cookie), origin.verify, {}, None
        )
    return open_connection(origin, timeout)


def _record_no_answer(
    error: BaseException, series: SeriesRecord, start: float, call: tuple[Shape, Body, str | None]
) -> None:
    end = monotonic()
    shape, body, cookie = call
    is_ours = isinstance(error, exceptions.RequestException)
    outcome = no_answer(error) if is_ours else NoAnswer.CUT
    series.record(int((end - start) * 1e6), outcome, len(body.content or b""))
    current().touch(end)
    if isinstance(error, exceptions.RequestException):
        error.request = shape.prepare(body, cookie)
        if Choices.watch is not None:
            Choices.watch(error.request, error, end - start)


def _finish(
    response: LazyResponse, head: Head, timeout: Any, follow_redirects: bool
) -> requests.Response:
    """What an answer asks for: cookies taken, body decoded, redirects followed."""
    shape, _, _, session, seconds = response._call
    redirected = False
    if head.status in REDIRECT_STATI and type(shape) is not Prepared:
        # what Requests merges into the next hop's cookies: those from before this answer
        response.request._cookies = merge_cookies(RequestsCookieJar(), session.cookies)
    for name, value in head.headers:
        lowered = name.lower()
        if lowered == b"content-encoding" and response._content:
            response._content = _decoded(head, response._content, value)
        elif lowered == b"location":
            redirected = head.status in REDIRECT_STATI
        elif lowered == b"set-cookie":
            extract_cookies_to_jar(session.cookies, response.request, response.raw)
    if Choices.watch is not None:
        Choices.watch(response.request, response, seconds)
    if not redirected:
        return response
    settings = {
        "timeout": timeout, "stream": False, "verify": shape.origin.verify, "cert": None,
        "proxies": {},
    }  # fmt: skip
    if follow_redirects:
        return follow(session, response, response.request, **settings)
    hops = session.resolve_redirects(response, response.request, yield_requests=True, **settings)
    response._next = next(hops, None)  # type: ignore[assignment]
    return response


def _decoded(head: Head, body: bytes, encoding: bytes) -> bytes:
    """The decoded body; of a redirect, which nobody may look at, also one that is broken."""
    try:
        return decoded(body, encoding)
    except exceptions.ContentDecodingError:
        if head.status in REDIRECT_STATI:
            return body
        raise
