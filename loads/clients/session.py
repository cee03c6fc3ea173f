"""A ``requests.Session`` whose requests are measured.

One request on the wire is one hit: a redirect that is followed makes two.  Its latency is the
service time, from just before the request is sent until its answer has been read; for
``stream=True``, where reading is the test's own affair, until the headers are there.
"""

from __future__ import annotations

import time
from typing import Any

import requests

from loads.metrics.series import HIT, NoAnswer, SeriesKey, url_template
from loads.recorder.writer import Recorder

MAX_TEMPLATES = 20_000


class Session(requests.Session):
    """A session of one virtual user: its own cookies, its own connections."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self._keys: dict[tuple[str, str], SeriesKey] = {}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send one prepared request, as ``requests.Session.send`` does, and record it."""
        if kwargs.get("allow_redirects", True):
            return self._send_following(request, **kwargs)
        return self._send_measured(request, **kwargs)

    def _send_following(
        self, request: requests.PreparedRequest, **kwargs: Any
    ) -> requests.Response:
        """Follow redirects, each hop being a hit of its own.

        Requests follows them inside of its own ``send``, where a measurement could not tell
        the hops apart.
        """
        kwargs["allow_redirects"] = False
        response = self._send_measured(request, **kwargs)
        if not response.is_redirect:
            return response
        del kwargs["allow_redirects"]
        for name in ("stream", "verify", "cert", "proxies"):
            kwargs.setdefault(name, getattr(self, name))
        history = [response, *self.resolve_redirects(response, request, **kwargs)]
        last: requests.Response = history.pop()
        last.history = history
        return last

    def _send_measured(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        recorder = self.recorder
        record = recorder.series(self._key(request)).record
        sent = len(request.body) if isinstance(request.body, str | bytes) else 0
        recorder.count("hits_started")
        outcome, received = int(NoAnswer.CUT), 0
        start = time.perf_counter()
        try:
            response = super().send(request, **kwargs)
            outcome = response.status_code
            received = 0 if kwargs.get("stream") else len(response.content)
            return response
        except requests.RequestException as error:
            outcome = no_answer(error)
            raise
        finally:
            # also when the greenlet is cut: the request was sent, and the target counted it
            record(int((time.perf_counter() - start) * 1e6), outcome, sent, received)
            recorder.touch(time.monotonic())

    def _key(self, request: requests.PreparedRequest) -> SeriesKey:
        method, url = request.method or "", request.url or ""
        key = self._keys.get((method, url))
        if key is None:
            key = SeriesKey(HIT, url_template(url), method)
            if len(self._keys) < MAX_TEMPLATES:  # else endless different URLs would fill memory
                self._keys[method, url] = key
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
