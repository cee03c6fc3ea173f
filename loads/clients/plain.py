"""Which sessions are plain: such that the fast path knows all that they do.

That has to be known before each request, because a test may change its session at any time; so
what a session looked like when it was last looked at wholly is kept with it, and compared.
"""

from __future__ import annotations

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
_adapter_send = HTTPAdapter.send
_sessions: Any = requests.sessions
_values = dict.values
_OURS = ("send", "prepare_request", "get_adapter", "merge_environment_settings", "mount")
_plain_classes: dict[type, bool] = {}
_templates: dict[Any, Templates] = {}


class Standing:
    """What is kept with a session: how it was found to be, its templates and idle connections.

    ``name`` is what the test calls the series of the request that is under way, if it does.
    """

    __slots__ = ("_adapters", "_adapters_now", "_cookies", "_headers", "_headers_now", "_netrc",
                 "_store", "_trusts", "_verify", "cookie_headers", "idle", "name",
                 "templates")  # fmt: skip

    def __init__(self) -> None:
        self.name = ""
        self.idle: dict[Origin, list[Connection]] = {}
        self.cookie_headers = CookieHeaders()
        self.templates: Templates
        self._headers: Any = None

    def holds(self, session: requests.Session) -> bool:
        """Whether the session is as it was, and that was plain.

        Called for each request.  Lists of equal things are compared by identity first, and read
        through ``dict`` an ``OrderedDict`` is as fast as one.
        """
        return (
            session.headers is self._headers
            and [*_values(self._store)] == self._headers_now
            and [*_values(self._adapters)] == self._adapters_now
            and session.adapters is self._adapters
            and session.cookies is self._cookies
            and session.verify == self._verify
            and session.trust_env == self._trusts
            and not session.params
            and not session.proxies
            and not session.stream
            and session.cert is None
            and not session.hooks["response"]
            and HTTPAdapter.send is _adapter_send  # else somebody fakes answers
            and _sessions.get_netrc_auth is self._netrc  # likewise
        )

    def renew(self, session: requests.Session) -> bool:
        """Look at the session wholly; False if it is not plain."""
        self._headers = None
        if not _is_plain(session):
            return False
        self._headers = session.headers
        self._store: Any = session.headers._store
        self._headers_now = [*_values(self._store)]
        adapters: Any = session.adapters
        self._adapters = adapters
        self._adapters_now: list[Any] = [*_values(self._adapters)]
        self._cookies = session.cookies
        self._verify = session.verify
        self._trusts = session.trust_env
        self._netrc = _sessions.get_netrc_auth
        verify = (type(self._verify), self._verify)
        key = (*self._headers_now, verify, bool(self._trusts), self._netrc)
        try:
            found = _templates.get(key)
        except TypeError:
            self._headers = None
            return False
        if found is None:
            if len(_templates) >= MAX_KINDS:
                _templates.clear()
            found = _templates[key] = Templates()
        self.templates = found
        return self.holds(session)

    def close(self) -> None:
        """Close the connections that are idle."""
        for idle in self.idle.values():
            while idle:
                idle.pop().close()


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
