"""``requests`` sessions whose requests are measured.

One request on the wire is one hit: a redirect that is followed makes two.  Its latency is the
service time, from just before the request is sent until its answer has been read; for
``stream=True``, where reading is the test's own affair, until the headers are there.

A worker has :func:`measure` applied to every session there is, so that ``requests.get`` in a plain
test is measured like ``self.session.get``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import requests
from requests.utils import resolve_proxies

from loads.clients import phases
from loads.metrics.series import FIRST_STATUS, HIT, NoAnswer, SeriesKey, url_template
from loads.recorder.current import current

MAX_TEMPLATES = 20_000

_requests_send: Callable[..., requests.Response] = requests.Session.send
_Watch = Callable[[requests.PreparedRequest, requests.Response | BaseException, float], None]
_keys: dict[tuple[str, str], SeriesKey] = {}


class Choices:
    """What the run decides about all sessions of a process.

    ``name`` makes the name of a series from a URL; ``watch`` is told of every exchange, if given.
    """

    name: Callable[[str], str] = staticmethod(url_template)
    watch: _Watch | None = None


def exact_name(url: str) -> str:
    """The whole URL as the name of its series, as in Loads 1; only credentials are left out."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


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
            return super().request(method, url, *args, **kwargs)
        outer, self._name = getattr(self, "_name", ""), name
        try:
            return super().request(method, url, *args, **kwargs)
        finally:
            self._name = outer


def measure() -> None:
    """Have every session of this process measured, whoever makes it."""
    requests.Session.send = _send  # type: ignore[method-assign, assignment]


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
    for name in ("stream", "verify", "cert"):
        kwargs.setdefault(name, getattr(session, name))
    if "proxies" not in kwargs:
        kwargs["proxies"] = resolve_proxies(request, session.proxies, session.trust_env)
    response = _send_measured(session, request, **kwargs)
    response._next = None  # only set when redirects are not followed
    if not response.is_redirect:
        return response
    history = [response, *session.resolve_redirects(response, request, **kwargs)]
    last: requests.Response = history.pop()
    last.history = history
    return last


def _send_measured(
    session: requests.Session, request: requests.PreparedRequest, **kwargs: Any
) -> requests.Response:
    recorder = current()
    series = recorder.series(_key(session, request))
    sent = len(request.body) if isinstance(request.body, str | bytes) else 0
    recorder.count("hits_started")
    outcome, received = int(NoAnswer.CUT), 0
    answer: requests.Response | BaseException | None = None
    phases.begin()
    start = time.perf_counter()
    try:
        answer = _requests_send(session, request, allow_redirects=False, **kwargs)
        outcome = answer.status_code
        received = 0 if kwargs.get("stream") else len(answer.content)
        return answer
    except requests.RequestException as error:
        outcome, answer = no_answer(error), error
        raise
    finally:
        # also when the greenlet is cut: the request was sent, and the target counted it
        end = time.perf_counter()
        series.record(int((end - start) * 1e6), outcome, sent, received)
        if outcome >= FIRST_STATUS:
            phases.record(series, start, end)
        recorder.touch(time.monotonic())
        if Choices.watch is not None and answer is not None:
            Choices.watch(request, answer, end - start)


def _key(session: requests.Session, request: requests.PreparedRequest) -> SeriesKey:
    method, url = request.method or "", request.url or ""
    name = getattr(session, "_name", "")
    if name:
        return SeriesKey(HIT, name, method)
    key = _keys.get((method, url))
    if key is None:
        key = SeriesKey(HIT, Choices.name(url), method)
        if len(_keys) < MAX_TEMPLATES:  # else endless different URLs would fill memory
            _keys[method, url] = key
    return key


def no_answer(error: BaseException) -> NoAnswer:
    """What kind of failure left a request without an answer."""
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return NoAnswer.TLS
    if isinstance(error, requests.Timeout):
        return NoAnswer.TIMED_OUT
    if "NameResolutionError" in text:
        return NoAnswer.DNS
    if "Connection refused" in text:
        return NoAnswer.REFUSED
    if "Connection reset" in text or "Connection aborted" in text or "Broken pipe" in text:
        return NoAnswer.RESET
    return NoAnswer.OTHER
