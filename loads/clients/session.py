"""``requests`` sessions whose requests are measured.

One request on the wire is one hit: a redirect that is followed makes two.  Its latency is the
service time, from just before the request is sent until its answer has been read; for
``stream=True``, where reading is the test's own affair, until the headers are there.

A worker has :func:`measure` applied to every session there is, so that ``requests.get`` in a plain
test is measured like ``self.session.get``.  What tests do most then goes through
:mod:`loads.clients.fast`, and the rest through Requests itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import requests
from requests.utils import resolve_proxies

from loads.clients import adapters, phases
from loads.clients.hits import Choices, no_answer, series_key
from loads.clients.redirects import follow
from loads.metrics.series import FIRST_STATUS, NoAnswer, SeriesKey
from loads.recorder.current import current

_requests_send: Callable[..., requests.Response] = requests.Session.send
_requests_request: Callable[..., requests.Response] = requests.Session.request
_requests_close: Callable[..., None] = requests.Session.close


class Session(requests.Session):
    """A session of one virtual user: its own cookies, its own connections.

    Everywhere where ``requests.Session`` takes a URL, ``name="..."`` can be given to name the
    request's series, instead of what is made from the URL.
    """

    def request(
        self, method: str, url: str | bytes, *args: Any, name: str = "", **kwargs: Any
    ) -> requests.Response:
        """As ``requests.Session.request``."""
        if not name:
            return _Ways.request(self, method, url, *args, **kwargs)
        outer = self.__dict__.get("_name", "")
        _Ways.name(self, name)
        try:
            return _Ways.request(self, method, url, *args, **kwargs)
        finally:
            _Ways.name(self, outer)


def _name(session: requests.Session, name: str) -> None:
    """Have the session's next requests called by a name, or by their URLs again."""
    session.__dict__["_name"] = name


class _Ways:
    """How requests are made in this process."""

    request: Callable[..., requests.Response] = staticmethod(_requests_request)
    name: Callable[[requests.Session, str], None] = staticmethod(_name)


def measure(fast: bool = False) -> None:
    """Have every session of this process measured, whoever makes it.

    ``fast`` has them use our own connections, which wait in greenlets: it needs gevent's patches.
    """
    requests.Session.send = _send  # type: ignore[method-assign, assignment]
    if fast:
        adapters.save_memory()
        from loads.clients import fast as path  # noqa: PLC0415 - imports gevent
        from loads.clients import plain  # noqa: PLC0415 - likewise

        def _send_fast(
            session: requests.Session, prepared: requests.PreparedRequest, **kwargs: Any
        ) -> requests.Response:
            response = None
            if isinstance(prepared, requests.PreparedRequest):
                response = path.send(session, prepared, **_with_defaults(session, prepared, kwargs))
            return _send(session, prepared, **kwargs) if response is None else response

        def _close(session: requests.Session) -> None:
            path.close(session)
            _requests_close(session)

        def _name_both(session: requests.Session, name: str) -> None:
            _name(session, name)
            path.name(session, name)

        _Ways.name = staticmethod(_name_both)
        plain.watch_sessions(path.request, Session.request)
        requests.Session.send = _send_fast  # type: ignore[method-assign, assignment]
        _Ways.request = staticmethod(path.request)
        requests.Session.get, requests.Session.post = path.get, path.post  # type: ignore
        requests.Session.request = path.request  # type: ignore[method-assign, assignment]
        requests.Session.close = _close  # type: ignore[method-assign, assignment]


def _send(
    session: requests.Session, request: requests.PreparedRequest, **kwargs: Any
) -> requests.Response:
    """Send one prepared request, as ``requests.Session.send`` does, and record it.

    Redirects are followed here, each hop being a hit of its own: Requests follows them inside
    of its own ``send``, where a measurement could not tell the hops apart.
    """
    if not isinstance(request, requests.PreparedRequest):
        return _requests_send(session, request, **kwargs)  # which says what is wrong with that
    if not kwargs.pop("allow_redirects", True):
        return _send_measured(session, request, **kwargs)
    kwargs = _with_defaults(session, request, kwargs)
    response = _send_measured(session, request, **kwargs)
    response._next = None  # only set when redirects are not followed
    if not response.is_redirect:
        return response
    return follow(session, response, request, **kwargs)


def _with_defaults(
    session: requests.Session, request: requests.PreparedRequest, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """What a call of ``send`` leaves to the session."""
    filled = {name: getattr(session, name) for name in ("stream", "verify", "cert")}
    filled.update(kwargs)
    if "proxies" not in filled:
        filled["proxies"] = resolve_proxies(request, session.proxies, session.trust_env)
    return filled


def _send_measured(
    session: requests.Session, request: requests.PreparedRequest, **kwargs: Any
) -> requests.Response:
    recorder = current()
    series = recorder.series(_key_of(session, request))
    sent = len(request.body) if isinstance(request.body, str | bytes) else 0
    recorder.count("hits_started")
    outcome, received = int(NoAnswer.CUT), 0
    answer: requests.Response | BaseException | None = None
    first = _FirstAnswer(request)
    phases.begin()
    start = time.perf_counter()
    try:
        answer = _requests_send(session, request, allow_redirects=False, **kwargs)
        outcome = answer.status_code
        received = 0 if kwargs.get("stream") else _size(answer)
        return answer
    except requests.RequestException as error:
        outcome, answer = no_answer(error), error
        raise
    finally:
        # also when the greenlet is cut: the request was sent, and the target counted it
        end = time.perf_counter()
        first.forget()
        if first.answer is not None and not isinstance(answer, requests.Response | _BROKEN_OFF):
            outcome = first.answer.status_code  # a hook raised, or there is no way to redirect to
        for seconds, earlier, size in _repeated(answer):
            recorder.count("hits_started")
            series.record(int(seconds * 1e6), earlier, sent, size)
            start += seconds
        series.record(int((end - start) * 1e6), outcome, sent, received)
        if outcome >= FIRST_STATUS:
            phases.record(series, start, end)
        recorder.touch(time.monotonic())
        if Choices.watch is not None and answer is not None:
            Choices.watch(request, answer, end - start)


def _repeated(answer: object) -> list[tuple[float, int, int]]:
    """Seconds, outcome and bytes of the requests that were sent before the last one.

    It is hooks that repeat a request, as authentication in two steps does, or urllib3, as an
    adapter with retries tells it to.
    """
    hops = answer.history if isinstance(answer, requests.Response) else []
    attempts = phases.repeated()
    if len(hops) >= len(attempts):
        return [(hop.elapsed.total_seconds(), hop.status_code, _size(hop)) for hop in hops]
    return [(attempt.end - attempt.start, attempt.outcome, 0) for attempt in attempts]


def _key_of(session: requests.Session, request: requests.PreparedRequest) -> SeriesKey:
    return series_key(request.method or "", request.url or "", session.__dict__.get("_name", ""))


def _size(answer: requests.Response) -> int:
    """Bytes of a body that was read; of a compressed one as it came, if that is known."""
    wire: int = answer.raw.tell() if "Content-Encoding" in answer.headers else 0
    return wire or len(answer.content)


class _FirstAnswer:
    """Keeps the answer to a request, whatever its hooks make of it."""

    def __init__(self, request: requests.PreparedRequest) -> None:
        self.answer: requests.Response | None = None
        self._request, self._hooks = request, request.hooks
        own = self._hooks.get("response") or []
        request.hooks = {
            **self._hooks,
            "response": [self._note, *([own] if callable(own) else own)],
        }

    def _note(self, answer: requests.Response, **_: Any) -> None:
        self.answer = answer
        self.forget()  # what is copied from the request is not to be noted

    def forget(self) -> None:
        """Leave the request as it was."""
        self._request.hooks = self._hooks


#: Errors that come out of Requests while it reads what should have been the answer.
_BROKEN_OFF = (
    requests.ConnectionError
    | requests.Timeout
    | requests.exceptions.ChunkedEncodingError
    | requests.exceptions.ContentDecodingError
)
