"""Requests of Requests, as bytes that are made once.

A :class:`Template` is the request for one method, URL, set of headers and kind of body, with places
for what differs from call to call.  It is made by ``Session.prepare_request``, so what is sent is
what Requests would send.
"""

from __future__ import annotations

import functools
import json
import re
from collections import OrderedDict
from importlib.metadata import version
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
import requests.compat
from requests.cookies import RequestsCookieJar
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from urllib3.util import parse_url

from loads.clients.connect import Origin
from loads.clients.http import LastAnswer
from loads.recorder.writer import Recorder, SeriesRecord

DEFAULT_PORTS = {"http": 80, "https": 443}

complexjson: Any = vars(requests.compat)["json"]  # simplejson, where that is installed
#: ``dumps(..., allow_nan=False)`` makes an encoder each time, which takes longer than its use
_to_json: Any = complexjson.JSONEncoder(allow_nan=False).encode
_markers: dict[int, Any] = {}
_make_encoder = getattr(json.encoder, "c_make_encoder", None)
#: what ``_to_json`` makes for each call, and then does with dictionaries and lists
_encode_json: Any = (
    _make_encoder(
        _markers, json.JSONEncoder().default, json.encoder.encode_basestring_ascii,
        None, ": ", ", ", False, False, False,
    )
    if _make_encoder is not None and complexjson is json
    else None
)  # fmt: skip
_encode_params = requests.PreparedRequest._encode_params
_default_user_agent = "python-urllib3/" + version("urllib3")
PLACE = "loads-place=1"  # stands for cookies in a template
_LENGTH = re.compile(rb"(?<=\r\nContent-Length: )\d+(?=\r\n)")
_BODILESS = {"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"}


class Template:
    """A prepared request as bytes.

    ``head`` is everything up to the cookies, ``tail`` what follows them; where there is a body,
    the tail has a place for its length.  ``whole`` is all of it with neither.  ``series`` is where
    ``recorder`` has its hits recorded, if they were already; ``last`` is the last answer.
    """

    __slots__ = (
        "_cookie_at", "_cookie_place", "_lines", "_model", "_prepared", "head", "last", "method",
        "origin", "recorder", "series", "tail_after", "tail_before", "url", "whole",
    )  # fmt: skip

    def __init__(self, prepared: requests.PreparedRequest, to: Origin) -> None:
        self.origin = to
        self.method = prepared.method or ""
        self._lines = header_lines(prepared)
        self._cookie_at = len(self._lines)  #: among the lines that are sent
        self._cookie_place = len(prepared.headers)  #: among the headers of Requests
        if prepared._cookies:
            self._cookie_at = self._lines.index(f"Cookie: {PLACE}".encode())
            self._cookie_place = list(prepared.headers).index("Cookie")
            del self._lines[self._cookie_at], prepared.headers["Cookie"]
            prepared._cookies = RequestsCookieJar()
        self._prepared: requests.PreparedRequest | None = prepared
        self._model: tuple[Template, dict[str, str] | None] | None = None
        self._complete(prepared.url or "", request_line(prepared), prepared.body is not None)

    def _complete(self, url: str, first: bytes, has_body: bool) -> None:
        self.url = url
        self.recorder: Recorder | None = None
        self.series: SeriesRecord | None = None
        self.last = LastAnswer()
        at, lines = self._cookie_at, self._lines
        self.head = b"\r\n".join((first, *lines[:at], b""))
        # the line break in front is for the expression, which looks for whole headers
        tail = b"\r\n".join((b"", *lines[at:], b"", b""))
        match = _LENGTH.search(tail) if has_body else None
        if match is None:
            self.tail_before, self.tail_after = tail[2:], b""
        else:
            self.tail_before, self.tail_after = tail[2 : match.start()], tail[match.end() :]
        self.whole = self.head + self.tail_before

    def varied(self, url: str, target: str, headers: dict[str, str] | None) -> Template:
        """The same request for another ``url`` of its origin, with other values in its headers.

        ``url`` is as Requests prepares it, ``target`` is what of it is sent; ``headers`` are of
        the names that the call gave when this template was made.
        """
        other = Template.__new__(Template)
        other.origin, other.method, other._cookie_at = self.origin, self.method, self._cookie_at
        other._lines, other._cookie_place = self._lines, self._cookie_place
        if headers:
            given = {name.encode("latin-1") for name in headers}
            other._lines = [
                name + b": " + headers[name.decode("latin-1")].encode("latin-1")
                if (name := line.partition(b":")[0]) in given
                else line
                for line in self._lines
            ]
        other._prepared = None
        other._model = (self, headers)
        first = f"{self.method} {target} HTTP/1.1".encode("latin-1")
        other._complete(url, first, bool(self.tail_after))
        return other

    @property
    def prepared(self) -> requests.PreparedRequest:
        """The request as Requests prepares it, without cookies; with a body that is no call's."""
        if self._prepared is None:
            assert self._model is not None
            original, headers = self._model
            self._prepared = original.prepared.copy()
            self._prepared.url = self.url
            self._prepared.headers.update(headers or {})
        return self._prepared

    def wire(self, body: Body, cookie: str | None) -> bytes:
        """The request with this body and these cookies."""
        head, content = self.head, body.content
        if cookie:
            head += b"Cookie: " + cookie.encode("latin-1") + b"\r\n"
        if content is None:
            return head + self.tail_before
        return b"%b%b%d%b%b" % (head, self.tail_before, len(content), self.tail_after, content)

    def prepare(self, body: Body, cookie: str | None) -> requests.PreparedRequest:
        """The same as Requests' own object, for who looks at ``response.request``."""
        # not its own copy(), which would take four times as long and share the hooks
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url = self.method, self.url
        headers: Any = CaseInsensitiveDict()
        store = self.prepared.headers._store
        if cookie:
            fields = list(store.items())
            fields.insert(self._cookie_place, ("cookie", ("Cookie", cookie)))
            headers._store = OrderedDict(fields)
        else:
            headers._store = store.copy()
        prepared.headers = headers
        prepared._cookies = RequestsCookieJar()
        prepared.hooks = default_hooks()
        if body.content is not None:
            prepared.body = body.text
            prepared.headers["Content-Length"] = str(len(body.content))
        return prepared


class Prepared:
    """A request that somebody else prepared, in the place of a template: sent as it is."""

    __slots__ = ("last", "method", "origin", "prepared", "recorder", "series", "url", "whole")

    def __init__(
        self,
        prepared: requests.PreparedRequest,
        origin: Origin,
        recorder: Recorder | None = None,
        series: SeriesRecord | None = None,
    ) -> None:
        self.method = prepared.method or ""
        self.url = prepared.url or ""
        self.origin = origin
        self.prepared = prepared
        self.whole = b"\r\n".join((request_line(prepared), *header_lines(prepared), b"", b""))
        self.recorder, self.series = recorder, series
        self.last = LastAnswer()

    def wire(self, body: Body, cookie: str | None) -> bytes:
        """The request."""
        return self.whole + (body.content or b"")

    def prepare(self, body: Body, cookie: str | None) -> requests.PreparedRequest:
        """The request itself."""
        return self.prepared


Shape = Template | Prepared  #: what :func:`loads.clients.call.perform` sends


def request_line(prepared: requests.PreparedRequest) -> bytes:
    """The first line; urllib3 quotes what is left of a URL: a percent sign that quotes nothing."""
    return f"{prepared.method} {target_of(prepared.path_url)} HTTP/1.1".encode("latin-1")


def target_of(path: str) -> str:
    """What is sent of a URL's path and query."""
    return parse_url(path).url if "%" in path else path


def header_lines(prepared: requests.PreparedRequest) -> list[bytes]:
    """The headers as urllib3 sends them: its own first, unless the test gives them."""
    assert prepared.url is not None
    headers: Any = prepared.headers
    names = headers._store if type(headers) is CaseInsensitiveDict else {n.lower() for n in headers}
    lines: list[bytes] = []
    if "host" not in names:
        start, separator, rest = prepared.url.partition("://")
        lines.append(b"Host: " + _host_header(start + separator + rest.partition("/")[0]))
    if "accept-encoding" not in names:
        lines.append(b"Accept-Encoding: identity")
    if prepared.body is None and prepared.method not in _BODILESS and "content-length" not in names:
        lines.append(b"Content-Length: 0")  # as after a redirect that took the body away
    if "user-agent" not in names:
        lines.append(b"User-Agent: " + _default_user_agent.encode())
    return lines + [_bytes(n) + b": " + _bytes(value) for n, value in prepared.headers.items()]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


@functools.lru_cache(1_000)
def _host_header(url: str) -> bytes:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port and parts.port != DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{parts.port}"
    return host.encode("ascii")


def _encode_form(data: Any) -> Any:
    """As Requests does it, which takes three times as long to find that all is plain."""
    if type(data) is dict and all(
        type(name) is str and type(value) in (str, int) for name, value in data.items()
    ):
        return urlencode(data)
    return _encode_params(data)


def _json_text(value: Any) -> str:
    """As Requests does it."""
    if _encode_json is not None and type(value) in (dict, list):
        try:
            return "".join(_encode_json(value, 0))
        except Exception:  # to be told by the one that Requests has
            _markers.clear()
    text: str = _to_json(value)
    return text


class Body:
    """The body of one call: how it is made of ``data`` or ``json``, and its bytes.

    ``text`` is what Requests has as the body; ``kind`` tells bodies with different headers apart.
    """

    __slots__ = ("content", "data", "json", "kind", "text")

    def __init__(self, data: Any, json: Any) -> None:
        self.data, self.json = data, json
        self.text: str | bytes | None = None
        self.content: bytes | None = None
        if data:
            if isinstance(data, str | bytes):
                self.kind, self.text = "raw", data
            else:
                self.kind, self.text = "form", _encode_form(data)
        elif json is not None:
            self.kind = "json"
            self.text = self.content = _json_text(json).encode()
        else:
            self.kind = ""
        if self.content is None and self.text is not None:
            self.content = self.text if isinstance(self.text, bytes) else self.text.encode()

    @classmethod
    def of(cls, text: str | bytes) -> Body:
        """The body of a prepared request, which is sent even if it is empty."""
        body = cls(None, None)
        body.kind, body.text = "raw", text
        body.content = text if isinstance(text, bytes) else text.encode()
        return body


EMPTY = Body(None, None)
