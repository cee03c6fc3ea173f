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
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

from loads.clients.call import Call, Pool, PreparedCall, perform
from loads.clients.template import EMPTY, Body, origin_of, template_for

_ADAPTER_STATE = len(HTTPAdapter().__dict__)
_adapter_send = HTTPAdapter.send
_requests_request = requests.Session.request
_OURS = ("send", "prepare_request", "get_adapter", "merge_environment_settings", "mount")
_plain_classes: dict[type, bool] = {}


def _is_plain_class(kind: type[requests.Session]) -> bool:
    """Whether a class of sessions leaves what we replace as it is."""
    plain = _plain_classes.get(kind)
    if plain is None:
        base = requests.Session
        plain = all(getattr(kind, name) is getattr(base, name) for name in _OURS)
        _plain_classes[kind] = plain
    return plain


def _is_plain(session: requests.Session) -> bool:
    """Whether a session's settings are such as the fast path knows."""
    adapters = session.adapters
    return (
        _is_plain_class(type(session))
        and HTTPAdapter.send is _adapter_send  # else somebody fakes answers
        and len(adapters) == 2
        and not session.params
        and not session.proxies
        and not session.stream
        and session.cert is None
        and not session.hooks["response"]
        and type(session.cookies) is RequestsCookieJar
        and _have_plain_adapters(session)
    )


def _have_plain_adapters(session: requests.Session) -> bool:
    """Whether a session's adapters are Requests' own; looked at when they are new."""
    adapters = list(session.adapters.values())
    seen: list[Any] | None = session.__dict__.get("_loads_adapters")
    if seen is not None and seen[0] is adapters[0] and seen[1] is adapters[1]:
        return True
    plain = all(map(_is_plain_adapter, adapters))
    if plain:
        session.__dict__["_loads_adapters"] = adapters
    return plain


def _is_plain_adapter(adapter: Any) -> bool:
    """Whether it is Requests' own, with nothing replaced in it, and without retries."""
    return (
        type(adapter) is HTTPAdapter
        and not adapter.max_retries.total
        and len(adapter.__dict__) == _ADAPTER_STATE
    )


def _is_timeout(timeout: Any) -> bool:
    """Seconds, or a pair of them for connecting and reading."""
    if type(timeout) is tuple:
        return len(timeout) == 2 and all(t is None or _is_timeout(t) for t in timeout)
    return type(timeout) in (int, float) and timeout > 0


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
    template = body = None
    if not (
        cookies or files or proxies or hooks or stream or cert
        or verify is not None
        or type(url) is not str
        or method.upper() == "HEAD"  # llhttp cannot be told that there is no body
        or not (params is None or type(params) is dict)
        or not (headers is None or type(headers) is dict)
        or not (not data or isinstance(data, str | bytes | dict | list | tuple))
        or not (timeout is None or _is_timeout(timeout))
        or not _is_plain(session)
    ):  # fmt: skip
        body = _body_of(data, json)
        if body is not None:
            template = template_for(session, method.upper(), url, (params, headers), body)
    if template is None or body is None:
        return _requests_request(
            session, method, url, params, data, headers, cookies, files, auth, timeout,
            allow_redirects, proxies, hooks, stream, verify, cert, json,
        )  # fmt: skip
    call = Call(session, template, body, timeout)
    auth = auth or session.auth
    if not auth:
        return perform(call, allow_redirects)
    signed = call.prepare()
    signed.prepare_auth(auth, template.url)
    return session.send(
        signed,
        timeout=timeout,
        allow_redirects=allow_redirects,
        stream=False,
        verify=template.verify,
        cert=None,
        proxies={},
    )


def _body_of(data: Any, json: Any) -> Body | None:
    """The body of a call; None if Requests has to say what is wrong with it."""
    if not data and json is None:
        return EMPTY
    try:
        return Body(data, json)
    except (TypeError, ValueError):
        return None


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
    if (
        proxies or stream or cert
        or prepared.hooks["response"]
        or prepared.method == "HEAD"
        or not (prepared.body is None or isinstance(prepared.body, str | bytes))
        or "Transfer-Encoding" in prepared.headers
        or type(prepared.url) is not str
        or not (timeout is None or _is_timeout(timeout))
        or not _is_plain(session)
    ):  # fmt: skip
        return None
    origin = origin_of(prepared.url, verify)
    if origin is None:
        return None
    return perform(PreparedCall(session, prepared, origin, timeout), allow_redirects)


def close(session: requests.Session) -> None:
    """Close the connections of a session."""
    pool: Pool | None = session.__dict__.get("_loads_pool")
    if pool is not None:
        pool.close()
