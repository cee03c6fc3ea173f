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
_Session: Any = requests.Session
_Adapter: Any = HTTPAdapter
_sessions: Any = requests.sessions
_get_adapter, _adapter_send = requests.Session.get_adapter, HTTPAdapter.send
_get_netrc_auth = _sessions.get_netrc_auth
_values = dict.values
_OURS = ("send", "prepare_request", "get_adapter", "merge_environment_settings", "mount")
_plain_classes: dict[type, bool] = {}
_templates: dict[Any, Templates] = {}


class Standing:
    """What is kept with a session: how it was found to be, its templates and idle connections.

    ``name`` is what the test calls the series of the request that is under way, if it does.
    """

    __slots__ = ("_adapters", "_hooks", "_params", "_proxies", "_seen", "_store", "cookie_headers",
                 "idle", "name", "templates")  # fmt: skip

    def __init__(self) -> None:
        self.name = ""
        self.idle: dict[Origin, list[Connection]] = {}
        self.cookie_headers = CookieHeaders()
        self.templates: Templates
        self._seen: list[Any] = []
        self._store: Any = {}
        self._adapters: Any = {}
        self._params: Any = None
        self._proxies: Any = None
        self._hooks: Any = None

    def holds(self, session: requests.Session) -> bool:
        """Whether the session is as it was, and that was plain.

        Called for each request, so it is one comparison of lists, whose members are first compared
        by identity.  Through ``dict`` an ``OrderedDict`` is read as fast as one.
        """
        now = [*session.__dict__.values(), *_values(self._store), *_values(self._adapters)]
        try:
            same = now == self._seen
        except Exception:
            return False  # what a test keeps with its session need not let itself be compared
        return (
            same
            and not (self._params or self._proxies or self._hooks["response"])
            and _Session.get_adapter is _get_adapter  # else somebody fakes answers
            and _Adapter.send is _adapter_send  # likewise
            and _sessions.get_netrc_auth is _get_netrc_auth
        )

    def renew(self, session: requests.Session) -> bool:
        """Look at the session wholly; False if it is not plain."""
        self._seen = []
        if not _is_plain(session):
            return False
        headers: Any = session.headers
        self._store, self._adapters = headers._store, session.adapters
        self._params, self._proxies, self._hooks = session.params, session.proxies, session.hooks
        verify = (type(session.verify), session.verify)
        key = (*_values(self._store), verify, bool(session.trust_env))
        try:
            found = _templates.get(key)
        except TypeError:  # a header that cannot be a key is none that can be sent
            return False
        if found is None:
            if len(_templates) >= MAX_KINDS:
                _templates.clear()
            found = _templates[key] = Templates()
        self.templates = found
        self._seen = [*vars(session).values(), *_values(self._store), *_values(self._adapters)]
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
        and not (session.stream or session.cert)
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
