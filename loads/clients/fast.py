"""Requests' API without most of its cost: what the fast path can do, and what it leaves.

What tests do most is prepared once and then reused (:mod:`loads.clients.template`), sent on our own
connections (:mod:`loads.clients.http`) and looked at lazily (:mod:`loads.clients.response`).
Whatever is not known here (proxies, streaming, files, hooks, adapters of the test's own) is not an
error but goes through Requests: :func:`request` has it made there, and
:func:`send` gives None.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.auth import HTTPBasicAuth
from requests.cookies import RequestsCookieJar, merge_cookies

from loads.clients.call import cookie_for, perform
from loads.clients.plain import Standing, goes_our_way, standing_of
from loads.clients.template import EMPTY, Body, Prepared, Template
from loads.clients.templates import SIGNED, origin_of

_requests_get = requests.Session.get
_requests_post = requests.Session.post
_requests_request = requests.Session.request


def get(session: requests.Session, url: Any, **kwargs: Any) -> requests.Response:
    """As ``requests.Session.get``; what was asked before with nothing but a URL has a short way."""
    if not kwargs and type(url) is str:
        standing: Standing | None = session.__dict__.get("_loads")
        if standing and type(session).request is standing.way and standing.holds():
            template = standing.templates.gets.get(url)
            if template is not None:
                return perform(session, standing, template, EMPTY, None, True)
        if goes_our_way(session):  # each frame in between is memory of the user's greenlet
            return request(session, "GET", url)
    return _requests_get(session, url, **kwargs)


def post(
    session: requests.Session, url: Any, data: Any = None, json: Any = None, **kwargs: Any
) -> requests.Response:
    """As ``requests.Session.post``; as short as :func:`get`, where nothing but a body is given."""
    if not kwargs and type(url) is str and (data or json is not None):
        standing: Standing | None = session.__dict__.get("_loads")
        if standing and type(session).request is standing.way and standing.holds():
            body = _body_of(data, json)
            template = standing.templates.posts.get((url, body.kind)) if body else None
            if template is not None and body is not None:
                return perform(session, standing, template, body, None, True)
    return _requests_post(session, url, data, json, **kwargs)


def request(
    session: requests.Session,
    method: str,
    url: Any,
    params: Any = None,
    data: Any = None,
    headers: Any = None,
    cookies: Any = None,
    files: Any = None,
    auth: Any = None,
    timeout: Any = None,
    allow_redirects: bool = True,
    proxies: Any = None,
    hooks: Any = None,
    stream: Any = None,
    verify: Any = None,
    cert: Any = None,
    json: Any = None,
) -> requests.Response:
    """As ``requests.Session.request``."""
    template = None
    body: Body | None = EMPTY
    auth = auth or session.auth
    standing: Standing = session.__dict__.get("_loads") or standing_of(session)
    if not (
        cookies or files or proxies or hooks or stream or cert
        or verify is not None
        or not (timeout is None or _is_timeout(timeout))
        or not (standing.holds() or standing.renew(session))
        or not (params is None or type(params) is dict)
        or not (headers is None or type(headers) is dict)
    ):  # fmt: skip
        if data or json is not None:
            body = _body_of(data, json)
        if body is not None:
            known_auth = _known_auth(auth) if auth else None
            template = standing.templates.find(
                session, method, url, params, headers, body, known_auth
            )
    if template is None or body is None:
        return _requests_request(
            session, method, url, params, data, headers, cookies, files, auth, timeout,
            allow_redirects, proxies, hooks, stream, verify, cert, json,
        )  # fmt: skip
    if not auth or known_auth is not SIGNED:
        return perform(session, standing, template, body, timeout, allow_redirects)
    return _sign(session, standing, template, body, auth, timeout, allow_redirects)


def _sign(
    session: requests.Session,
    standing: Standing,
    template: Template,
    body: Body,
    auth: Any,
    timeout: Any,
    allow_redirects: bool,
) -> requests.Response:
    """Send a request that ``auth`` wants to see, and to change, before."""
    cookie = cookie_for(session, standing, template) if session.cookies else None
    signed = template.prepare(body, cookie)
    if session.cookies:  # what goes along when a redirect is followed
        signed._cookies = merge_cookies(RequestsCookieJar(), session.cookies)
    signed.prepare_auth(auth, template.url)
    if (
        signed.hooks["response"]  # its answer may want another request, as that of a digest does
        or (signed.method, signed.url) != (template.method, template.url)
        or not isinstance(signed.body, str | bytes | None)
        or "Transfer-Encoding" in signed.headers
        or (signed.body is not None and "Content-Length" not in signed.headers)
    ):
        return session.send(
            signed, timeout=timeout, allow_redirects=allow_redirects, stream=False,
            verify=template.origin.verify, cert=None, proxies={},
        )  # fmt: skip
    shape = Prepared(signed, template.origin, template.recorder, template.series)
    body = EMPTY if signed.body is None else Body.of(signed.body)
    response = perform(session, standing, shape, body, timeout, allow_redirects)
    if not standing.name:
        template.recorder, template.series = shape.recorder, shape.series
    return response


def _is_timeout(timeout: Any) -> bool:
    """Seconds, or a pair of them for connecting and reading."""
    if type(timeout) is tuple:
        return len(timeout) == 2 and all(t is None or _is_timeout(t) for t in timeout)
    return type(timeout) in (int, float) and timeout > 0


def _known_auth(auth: Any) -> Any:
    """User and password, where ``auth`` is nothing but these; else it has to see each request."""
    pair = (auth.username, auth.password) if type(auth) is HTTPBasicAuth else auth
    if type(pair) is tuple and len(pair) == 2 and type(pair[0]) is type(pair[1]) is str:
        return pair
    return SIGNED


def _body_of(data: Any, json: Any) -> Body | None:
    """The body of a call; None if Requests has to say what is wrong with it, or to read it."""
    if data and not isinstance(data, str | bytes | dict | list | tuple):
        return None
    try:
        body = Body(data, json)
    except (TypeError, ValueError):
        return None
    return body if body.content else None  # one that turns out to be empty goes in chunks


def send(
    session: requests.Session,
    prepared: requests.PreparedRequest,
    timeout: Any = None,
    allow_redirects: bool = True,
    proxies: Any = None,
    stream: Any = None,
    verify: Any = None,
    cert: Any = None,
) -> requests.Response | None:
    """As ``requests.Session.send``; None if Requests itself has to do it."""
    standing = standing_of(session)
    if (
        proxies or stream or cert
        or prepared.hooks["response"]
        or prepared.method == "HEAD"
        or not (prepared.body is None or isinstance(prepared.body, str | bytes))
        or "Transfer-Encoding" in prepared.headers
        or (prepared.body is not None and "Content-Length" not in prepared.headers)
        or type(prepared.url) is not str
        or not (timeout is None or _is_timeout(timeout))
        or not (standing.holds() or standing.renew(session))
    ):  # fmt: skip
        return None
    origin = origin_of(prepared.url, verify)
    if origin is None:
        return None
    body = EMPTY if prepared.body is None else Body.of(prepared.body)
    return perform(session, standing, Prepared(prepared, origin), body, timeout, allow_redirects)


def name(session: requests.Session, text: str) -> None:
    """What the series of the session's next requests is called; by their URLs, if empty."""
    standing_of(session).name = text


def close(session: requests.Session) -> None:
    """Close the connections of a session."""
    standing: Standing | None = session.__dict__.get("_loads")
    if standing is not None:
        standing.close()
