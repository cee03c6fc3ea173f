"""Which sessions are plain: such that the fast path knows all that they do.

That has to be known before each request, because a test may change its session at any time; so
what a session looked like when it was last looked at wholly is kept with it, and compared.
"""

from __future__ import annotations

import os
from typing import Any

import requests
import requests.sessions
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

from loads.clients.connect import Origin
from loads.clients.cookies import CookieHeaders
from loads.clients.http import Connection
from loads.clients.templates import Templates

MAX_KINDS = 1_000  #: of sessions whose templates are kept

_ADAPTER_STATE = len(HTTPAdapter().__dict__)
_Session: Any = requests.Session
_Adapter: Any = HTTPAdapter
_sessions: Any = requests.sessions
_get_adapter, _adapter_send = requests.Session.get_adapter, HTTPAdapter.send
_get_netrc_auth = _sessions.get_netrc_auth
_values: Any = dict.values
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_VARIABLES = (*_PROXIES, *map(str.upper, _PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")
_OURS = ("send", "prepare_request", "get_adapter", "merge_environment_settings", "mount")
_plain_classes: dict[type, bool] = {}
_templates: dict[Any, Templates] = {}


class Standing:
    """What is kept with a session: how it was found to be, its templates and idle connections.

    ``name`` is what the test calls the series of the request that is under way, if it does.
    """

    __slots__ = ("_adapters", "_cookies", "_headers", "_members", "_plain", "_store", "_trusts",
                 "_verify", "cookie_headers", "idle", "name", "templates")  # fmt: skip

    def __init__(self) -> None:
        self.name = ""
        self.idle: dict[Origin, list[Connection]] = {}
        self.cookie_headers = CookieHeaders()
        self.templates: Templates
        self._plain = False

    def holds(self, session: requests.Session) -> bool:
        """Whether the session is as it was, and that was plain.

        Called for each request, and so written to be fast: what can be set is compared by
        identity, what can be changed in place by its members, which a list compares by identity
        first.  Through ``dict`` an ``OrderedDict`` is read as fast as one.
        """
        return (
            self._plain
            and session.headers is self._headers
            and session.adapters is self._adapters
            and [*_values(self._store), *_values(self._adapters)] == self._members
            and session.cookies is self._cookies
            and session.verify is self._verify
            and session.trust_env is self._trusts
            and session.cert is None
            and not session.stream
            and not session.params
            and not session.proxies
            and not session.hooks["response"]
            and _Session.get_adapter is _get_adapter  # else somebody fakes answers
            and _Adapter.send is _adapter_send  # likewise
            and _sessions.get_netrc_auth is _get_netrc_auth
        )

    def renew(self, session: requests.Session) -> bool:
        """Look at the session wholly; False if it is not plain."""
        self._plain = False
        if not _is_plain(session):
            return False
        headers: Any = session.headers
        adapters: Any = session.adapters
        self._headers, self._store, self._adapters = headers, headers._store, adapters
        self._members: list[Any] = [*_values(self._store), *_values(self._adapters)]
        self._cookies, self._verify = session.cookies, session.verify
        self._trusts = session.trust_env
        verify = (type(self._verify), self._verify)
        try:
            key = (*_values(self._store), verify, self._trusts and _environment())
            found = _templates.get(key)
        except TypeError:  # a header that cannot be a key is none that can be sent
            return False
        if found is None:
            if len(_templates) >= MAX_KINDS:
                _templates.clear()
            found = _templates[key] = Templates()
        self.templates = found
        self._plain = True
        return self.holds(session)

    def close(self) -> None:
        """Close the connections that are idle."""
        for idle in self.idle.values():
            while idle:
                idle.pop().close()


def _environment() -> tuple[str | None, ...]:
    """What Requests asks the environment for."""
    return tuple(os.environ.get(name) for name in _VARIABLES)


def standing_of(session: requests.Session) -> Standing:
    """What is kept with a session, from the first time on that it is asked for."""
    standing: Standing | None = session.__dict__.get("_loads")
    if standing is None:
        standing = session.__dict__["_loads"] = Standing()
    return standing


def _is_plain(session: requests.Session) -> bool:
    return (
        _is_plain_class(type(session))
        and len(session.adapters) == 2
        and type(session.headers) is CaseInsensitiveDict
        and type(session.cookies) is RequestsCookieJar
        and all(map(_is_plain_adapter, session.adapters.values()))
    )


def _is_plain_class(kind: type[requests.Session]) -> bool:
    """Whether a class of sessions leaves what we replace as it is."""
    plain = _plain_classes.get(kind)
    if plain is None:
        base = requests.Session
        plain = all(getattr(kind, name) is getattr(base, name) for name in _OURS)
        _plain_classes[kind] = plain
    return plain


def _is_plain_adapter(adapter: Any) -> bool:
    """Whether it is Requests' own, with nothing replaced in it, and without retries."""
    return (
        type(adapter) is HTTPAdapter
        and not adapter.max_retries.total
        and len(adapter.__dict__) == _ADAPTER_STATE
    )
