"""The templates of requests, found or made.

A template is made by ``Session.prepare_request``, which takes a tenth of a millisecond and more.
So that a test that asks for ever different things (``/users/17``, ``?page=4``, a header with an id
of its own) does not pay that for each, one that was made serves as the model of others: those
that differ from it in the path, the parameters or the values of headers that the call gives.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.cookies import RequestsCookieJar

from loads.clients.connect import Origin, origin
from loads.clients.template import DEFAULT_PORTS, PLACE, Body, Template, target_of

MAX_TEMPLATES = 10_000

_NOT_ASKED: Any = object()
_SCALARS = (int, bool, float, bytes, type(None))

# What Requests leaves as it is: nothing to quote, no port or dot to drop, no empty query.
_CLEAN_URL = re.compile(
    r"(https?://[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*(?::[1-9]\d*)?)"
    r"((?:/(?:[\w~-]+(?:\.[\w~-]+)*)?)+(?:\?[\w~/=&.-]+)?)",
    re.ASCII,
)
_CLEAN_WORD = re.compile(r"[\w.~-]+", re.ASCII)
_CLEAN_HEADER = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_NO_VALUES = {"cookie", "content-length", "transfer-encoding", "host"}  # they change other things


def SIGNED(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authentication that leaves a request as it is, to be signed each time; not from netrc."""
    return request


class Templates:
    """The templates of all sessions whose own headers and settings are the same."""

    def __init__(self) -> None:
        #: by method and URL, and what else there is of a request; None: not for the fast path
        self.known: dict[Any, Template | None] = {}
        #: of those that are asked for with nothing but a URL, and with that and a kind of body
        self.gets: dict[str, Template] = {}
        self.posts: dict[tuple[str, str], Template] = {}
        self._models: dict[Any, Template] = {}

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
                self.gets.clear()
                self.posts.clear()
                self._models.clear()
            template = self._vary_or_make(session, method, url, params, headers, body, auth)
            self.known[key] = template
            if template is not None and not (params or headers or auth):
                self._keep_short(method, url, body, template)
        return template  # type: ignore[no-any-return]

    def _keep_short(self, method: str, url: str, body: Body, template: Template) -> None:
        if method == "GET" and not body.kind:
            self.gets[url] = template
        elif method == "POST" and body.kind:
            self.posts[url, body.kind] = template

    def _vary_or_make(
        self,
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
        wanted = prepared_url(url, params)
        key = None
        if wanted is not None and _can_vary(headers):
            key = (method, wanted[0], body.kind, auth, tuple(headers or ()))
            model = self._models.get(key)
            if model is not None:
                return model.varied("".join(wanted), target_of(wanted[1]), headers)
        template = _make(session, method, url, params, headers, body, auth)
        if template is not None and key is not None:
            given = (headers or {}).items()
            if all(template.prepared.headers.get(name) == value for name, value in given):
                self._models[key] = template
        return template


def _can_vary(headers: dict[Any, Any] | None) -> bool:
    """Whether these headers say nothing but themselves, and are valid."""
    if not headers:
        return True
    return len({str(name).lower() for name in headers} - _NO_VALUES) == len(headers) and all(
        type(name) is type(value) is str
        and name.isascii()
        and _CLEAN_HEADER.fullmatch(value) is not None
        for name, value in headers.items()
    )


def prepared_url(url: str, params: dict[Any, Any] | None) -> tuple[str, str] | None:
    """What Requests makes of a URL and parameters: up to the path, and from there.

    None where it cannot be told, or is an error.
    """
    clean = _CLEAN_URL.fullmatch(url)
    if clean is not None:
        base, rest = clean.groups()
        if not params:
            return base, rest
        pairs = [
            f"{name}={value}"
            for name, value in params.items()
            if type(name) is str and type(value) in (str, int)
            and _CLEAN_WORD.fullmatch(f"{name}{value}")  # neither may be empty
            and name and value != ""
        ]  # fmt: skip
        if len(pairs) == len(params):
            return base, rest + ("&" if "?" in rest else "?") + "&".join(pairs)
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare_url(url, params or {})
    except (ValueError, TypeError):  # as Requests will say
        return None
    whole = prepared.url or ""
    scheme, separator, rest = whole.partition("://")
    host, slash, path = rest.partition("/")
    if "?" in host or "#" in whole or not slash:
        return None
    return scheme + separator + host, slash + path


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
    name, _, value = PLACE.partition("=")
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
        or prepared.headers.get("Cookie") != PLACE
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
