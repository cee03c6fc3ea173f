"""Requests of Requests, as bytes that are made once.

A :class:`Template` is the request for one method, URL, set of headers and kind of body, with places
for what differs from call to call.  It is made by ``Session.prepare_request``, so what is sent is
what Requests would send.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.compat
from requests.cookies import RequestsCookieJar, get_cookie_header
from requests.hooks import default_hooks
from urllib3.util import parse_url

from loads.clients.connect import Origin, origin
from loads.recorder.writer import Recorder, SeriesRecord

MAX_TEMPLATES = 10_000
DEFAULT_PORTS = {"http": 80, "https": 443}

complexjson: Any = vars(requests.compat)["json"]  # simplejson, where that is installed
_encode_params = requests.PreparedRequest._encode_params
_default_user_agent = "python-urllib3/" + version("urllib3")
_PLACE = "loads-place=1"  # stands for cookies in a template
_LENGTH = re.compile(rb"(?<=\r\nContent-Length: )\d+(?=\r\n)")
_BODILESS = {"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"}
_SCALARS = (int, bool, float, bytes, type(None))
_NOT_ASKED = object()


class Template:
    """A prepared request as bytes.

    ``head`` is everything up to the cookies, ``tail`` what follows them; where there is a body,
    the tail has a place for its length.  ``whole`` is all of it with neither.  ``series`` is where
    ``recorder`` has its hits recorded, if they were already.
    """

    __slots__ = (
        "head", "method", "origin", "prepared", "recorder", "series", "tail_after", "tail_before",
        "url", "whole",
    )  # fmt: skip

    def __init__(self, prepared: requests.PreparedRequest, to: Origin) -> None:
        self.method = prepared.method or ""
        self.url = prepared.url or ""
        self.origin = to
        self.recorder: Recorder | None = None
        self.series: SeriesRecord | None = None
        lines = header_lines(prepared)
        place = lines.index(f"Cookie: {_PLACE}".encode()) if prepared._cookies else None
        first = request_line(prepared)
        if place is None:
            place = len(lines)
        else:
            del lines[place], prepared.headers["Cookie"]
            prepared._cookies = RequestsCookieJar()
        self.prepared = prepared
        self.head = b"".join(line + b"\r\n" for line in (first, *lines[:place]))
        # the line break in front is for the expression, which looks for whole headers
        tail = b"\r\n" + b"".join(line + b"\r\n" for line in lines[place:]) + b"\r\n"
        match = _LENGTH.search(tail) if prepared.body is not None else None
        if match is None:
            self.tail_before, self.tail_after = tail[2:], b""
        else:
            self.tail_before, self.tail_after = tail[2 : match.start()], tail[match.end() :]
        self.whole = self.head + self.tail_before

    def cookie(self, session: requests.Session) -> str | None:
        """The session's cookies for this request, as a header."""
        return get_cookie_header(session.cookies, self.prepared)

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
        prepared = self.prepared.copy()
        prepared.hooks = default_hooks()  # a copy shares them, and signers register theirs
        if body.content is not None:
            prepared.body = body.text
            prepared.headers["Content-Length"] = str(len(body.content))
        if cookie:
            prepared.headers["Cookie"] = cookie
        return prepared


class Prepared:
    """A request that somebody else prepared, in the place of a template: sent as it is."""

    __slots__ = ("method", "origin", "prepared", "recorder", "series", "url", "whole")

    def __init__(self, prepared: requests.PreparedRequest, to: Origin) -> None:
        self.method = prepared.method or ""
        self.url = prepared.url or ""
        self.origin = to
        self.prepared = prepared
        self.whole = b"\r\n".join((request_line(prepared), *header_lines(prepared), b"", b""))
        self.recorder: Recorder | None = None
        self.series: SeriesRecord | None = None

    def cookie(self, session: requests.Session) -> None:
        """Nothing: they are among the request's headers already."""

    def wire(self, body: Body, cookie: str | None) -> bytes:
        """The request."""
        return self.whole + (body.content or b"")

    def prepare(self, body: Body, cookie: str | None) -> requests.PreparedRequest:
        """The request itself."""
        return self.prepared


Shape = Template | Prepared  #: what :func:`loads.clients.call.perform` sends


def request_line(prepared: requests.PreparedRequest) -> bytes:
    """The first line; urllib3 quotes what is left of a URL: a percent sign that quotes nothing."""
    target = prepared.path_url
    if "%" in target:
        target = parse_url(target).url
    return f"{prepared.method} {target} HTTP/1.1".encode("latin-1")


def header_lines(prepared: requests.PreparedRequest) -> list[bytes]:
    """The headers as urllib3 sends them: its own first, unless the test gives them."""
    assert prepared.url is not None
    names = {name.lower() for name in prepared.headers}
    lines: list[bytes] = []
    if "host" not in names:
        lines.append(b"Host: " + _host_header(prepared.url))
    if "accept-encoding" not in names:
        lines.append(b"Accept-Encoding: identity")
    if prepared.body is None and prepared.method not in _BODILESS and "content-length" not in names:
        lines.append(b"Content-Length: 0")  # as after a redirect that took the body away
    if "user-agent" not in names:
        lines.append(b"User-Agent: " + _default_user_agent.encode())
    return lines + [_bytes(n) + b": " + _bytes(value) for n, value in prepared.headers.items()]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _host_header(url: str) -> bytes:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port and parts.port != DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{parts.port}"
    return host.encode("ascii")


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
                self.kind, self.text = "form", _encode_params(data)
        elif json is not None:
            self.kind = "json"
            self.text = self.content = complexjson.dumps(json, allow_nan=False).encode()
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


def SIGNED(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authentication that leaves a request as it is, to be signed each time; not from netrc."""
    return request


class Templates:
    """The templates of all sessions whose own headers and settings are the same."""

    def __init__(self) -> None:
        #: by method and URL, and what else there is of a request; None: not for the fast path
        self.known: dict[Any, Template | None] = {}

    def find(
        self,
        session: requests.Session,
        method: str,
        url: str,
        params: Any,
        headers: Any,
        body: Body,
        auth: Any,
    ) -> Template | None:
        """The template for a request; None if it is none for the fast path."""
        try:
            key: Any = (method, url)
            if params or headers or body.kind or auth:
                key = (*key, body.kind, auth, _frozen_items(params), _frozen_items(headers))
            template = self.known.get(key, _NOT_ASKED)
        except TypeError:  # something in it cannot be a key
            return None
        if template is _NOT_ASKED:
            if len(self.known) >= MAX_TEMPLATES:
                self.known.clear()
            template = _make(session, method, url, params, headers, body, auth)
            self.known[key] = template
        return template  # type: ignore[return-value]


def _frozen_items(values: dict[Any, Any] | None) -> Any:
    return values and tuple((_frozen(name), _frozen(value)) for name, value in values.items())


def _frozen(value: Any) -> Any:
    """What tells a value from all others that are sent otherwise: 1 is equal to True and 1.0."""
    kind = type(value)
    if kind is str:
        return value
    if kind in _SCALARS:
        return kind, repr(value)
    if kind in (list, tuple):
        return kind, *map(_frozen, value)
    raise TypeError


def _make(
    session: requests.Session,
    method: str,
    url: str,
    params: Any,
    headers: Any,
    body: Body,
    auth: Any,
) -> Template | None:
    if type(url) is not str or method.upper() == "HEAD":  # llhttp cannot be told of no body
        return None
    name, _, value = _PLACE.partition("=")
    request = requests.Request(
        method.upper(), url, params=params or {}, headers=headers, cookies={name: value},
        data=body.data or {}, json=body.json, auth=auth,
    )  # fmt: skip
    jar, session.cookies = session.cookies, RequestsCookieJar()
    own_auth, session.auth = session.auth, None
    try:
        prepared = session.prepare_request(request)
    finally:
        session.cookies, session.auth = jar, own_auth
    assert prepared.url is not None
    settings = session.merge_environment_settings(prepared.url, {}, None, None, None)
    to = origin_of(prepared.url, settings["verify"])
    if (
        to is None
        or settings["proxies"]
        or settings["cert"]
        or prepared.headers.get("Cookie") != _PLACE
        or not isinstance(prepared.body, str | bytes | None)
    ):
        return None
    return Template(prepared, to)


def origin_of(url: str, verify: Any) -> Origin | None:
    """Whom a URL is to; None if that is nobody we know how to talk to."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if port is None or not parts.hostname or not url.isascii() or " " in url:
        return None
    if parts.scheme == "http":
        return origin("http", parts.hostname, port)
    verify = True if verify is None else verify
    if not isinstance(verify, bool) and not os.path.exists(verify):
        return None  # Requests says so
    return origin("https", parts.hostname, port, verify)
