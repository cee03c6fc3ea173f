"""One call of a session's method: sent, measured, and made into the response of Requests."""

from __future__ import annotations

import time
from typing import Any

import requests
from requests import exceptions
from requests.cookies import extract_cookies_to_jar, get_cookie_header
from requests.models import REDIRECT_STATI

from loads.clients.hits import Choices, no_answer, series_key
from loads.clients.http import Answer, Connection, Origin, open_connection
from loads.clients.redirects import follow
from loads.clients.response import LazyResponse, decoded
from loads.clients.template import EMPTY, Body, Template, header_lines, request_line
from loads.metrics.series import NoAnswer
from loads.recorder.current import current
from loads.recorder.writer import Recorder, SeriesRecord


class Pool:
    """The idle connections of one session."""

    def __init__(self) -> None:
        self._idle: dict[Origin, list[Connection]] = {}

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection to an origin that still looks open, if there is one."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.looks_closed():
                return connection
            connection.close()
        return None

    def give(self, origin: Origin, connection: Connection) -> None:
        """Take a connection back for later."""
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = []
        idle.append(connection)

    def close(self) -> None:
        """Close what is idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


def pool_of(session: requests.Session) -> Pool:
    """The pool of a session, made when it is first needed."""
    pool: Pool | None = session.__dict__.get("_loads_pool")
    if pool is None:
        pool = session.__dict__["_loads_pool"] = Pool()
    return pool


class Call:
    """One call of a session's method, made from a template."""

    __slots__ = ("_body", "_cookie", "_template", "method", "origin", "session", "timeout", "url",
                 "verify")  # fmt: skip

    def __init__(
        self, session: requests.Session, template: Template, body: Body, timeout: Any
    ) -> None:
        self.session = session
        self.origin = template.origin
        self.url = template.url
        self.method = template.prepared.method or ""
        self.verify = template.verify
        self.timeout = timeout
        self._template = template
        self._body = body
        self._cookie: str | None = None
        if session.cookies._cookies:  # type: ignore[attr-defined]
            self._cookie = get_cookie_header(session.cookies, template.prepared)

    def prepare(self) -> requests.PreparedRequest:
        """The request as Requests' own object."""
        return self._template.prepare(self._body.text, self._cookie)

    def wire(self) -> bytes:
        """The request as it is sent."""
        if self._body is EMPTY and self._cookie is None:
            return self._template.whole
        return self._template.bytes_for(self._body.content, self._cookie)

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self._body.content or b"")

    def series(self, recorder: Recorder) -> SeriesRecord:
        """Where the hit is recorded; remembered with the template unless the test names it."""
        template = self._template
        if template.recorder is recorder and not self.session.__dict__.get("_name"):
            assert template.series is not None
            return template.series
        series = recorder.series(series_key(self.session, self.method, self.url))
        if not self.session.__dict__.get("_name"):
            template.recorder, template.series = recorder, series
        return series

    def carry_out(self) -> Answer:
        """Send it and read the answer.

        Raises ``requests`` errors.
        """
        timeout, origin = self.timeout, self.origin
        to_connect, to_read = timeout if type(timeout) is tuple else (timeout, timeout)
        pool, data = pool_of(self.session), self.wire()
        connection = pool.take(origin)
        if connection is None:
            connection = self._connect(to_connect)
        else:
            current().count("connections_reused")
        try:
            answer = connection.exchange(data, to_read)
        except BaseException:
            connection.close()
            raise
        if answer.keep_alive:
            pool.give(origin, connection)
        else:
            connection.close()
        return answer

    def _connect(self, timeout: float | None) -> Connection:
        if self.origin.scheme == "https":
            # Requests' own pool for it is made, too, for who looks for that; it stays empty
            adapter: Any = self.session.get_adapter(self.url)
            adapter.get_connection_with_tls_context(self.prepare(), self.verify, {}, None)
        return open_connection(self.origin, timeout)

    def finish(self, answer: Answer, seconds: float, follow_redirects: bool) -> requests.Response:
        """The response to an answer: cookies taken, body decoded, redirects followed."""
        session, status = self.session, answer.status
        response = LazyResponse(answer, self.url, seconds, self.prepare, session)
        redirected = False
        for name, value in answer.headers:
            lowered = name.lower()
            if lowered == b"content-encoding" and answer.body:
                response._content = self._decoded(answer, value)
            elif lowered == b"location":
                redirected = status in REDIRECT_STATI
            elif lowered == b"set-cookie":
                extract_cookies_to_jar(session.cookies, response.request, response.raw)
        if not redirected:
            return response
        settings = {
            "timeout": self.timeout, "stream": False, "verify": self.verify, "cert": None,
            "proxies": {},
        }  # fmt: skip
        if follow_redirects:
            return follow(session, response, response.request, **settings)
        hops = session.resolve_redirects(
            response, response.request, yield_requests=True, **settings
        )
        response._next = next(hops, None)  # type: ignore[assignment]
        return response

    @staticmethod
    def _decoded(answer: Answer, encoding: bytes) -> bytes:
        """The decoded body; of a redirect, which nobody may look at, also one that is broken."""
        try:
            return decoded(answer, encoding)
        except exceptions.ContentDecodingError:
            if answer.status in REDIRECT_STATI:
                return answer.body
            raise


class PreparedCall(Call):
    """One call with a request that somebody else prepared."""

    __slots__ = ("_prepared",)

    def __init__(
        self,
        session: requests.Session,
        prepared: requests.PreparedRequest,
        origin: Origin,
        timeout: Any,
    ) -> None:
        self.session = session
        self.origin = origin
        self.url = prepared.url or ""
        self.method = prepared.method or ""
        self.verify = origin.verify
        self.timeout = timeout
        self._prepared = prepared

    def prepare(self) -> requests.PreparedRequest:
        return self._prepared

    def wire(self) -> bytes:
        prepared = self._prepared
        head = b"\r\n".join((request_line(prepared), *header_lines(prepared), b"", b""))
        body = prepared.body
        if isinstance(body, str):
            return head + body.encode()
        return head + body if isinstance(body, bytes) else head

    @property
    def size(self) -> int:
        body = self._prepared.body
        return len(body) if isinstance(body, str | bytes) else 0

    def series(self, recorder: Recorder) -> SeriesRecord:
        return recorder.series(series_key(self.session, self.method, self.url))


def perform(call: Call, follow_redirects: bool) -> requests.Response:
    """Carry a call out and record the hit."""
    recorder = current()
    series = call.series(recorder)
    recorder.count("hits_started")
    outcome, received = int(NoAnswer.CUT), 0
    error: exceptions.RequestException | None = None
    start = time.monotonic()
    try:
        answer = call.carry_out()
        outcome, received = answer.status, len(answer.body)
    except exceptions.RequestException as caught:
        outcome, error = no_answer(caught), caught
        error.request = call.prepare()
        raise
    finally:
        # also when the greenlet is cut: the request was sent, and the target counted it
        end = time.monotonic()
        series.record(int((end - start) * 1e6), outcome, call.size, received)
        recorder.touch(end)
        if Choices.watch is not None and error is not None:
            Choices.watch(call.prepare(), error, end - start)
    sent_at, answered_at = answer.sent_at, answer.answered_at
    series.record_phases(
        int((sent_at - start - answer.setup) * 1e6),
        int((answered_at - sent_at) * 1e6),
        int((end - answered_at) * 1e6),
    )
    response = call.finish(answer, end - start, follow_redirects)
    if Choices.watch is not None:
        first = response.history[0] if response.history else response
        Choices.watch(call.prepare(), first, end - start)
    return response
