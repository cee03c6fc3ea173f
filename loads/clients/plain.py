"""Which sessions are plain: such that the fast path knows all that they do.

That has to be known before each request, because a test may change its session at any time.  So a
session that was looked at wholly says so when something in it is set afterwards, its headers do
when they are changed in place, and what is usually empty is asked each time whether it still is.
"""

from __future__ import annotations

import os
from collections import OrderedDict, defaultdict
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
_set_attribute = object.__setattr__
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_VARIABLES = (*_PROXIES, *map(str.upper, _PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")
_OURS = ("send", "prepare_request", "get_adapter", "merge_environment_settings", "mount")
_ways: set[Any] = set()
_plain_classes: dict[type, bool] = {}
_templates: dict[Any, Templates] = {}


class Standing:
    """What is kept with a session: how it was found to be, its templates and idle connections.

    ``name`` is what the test calls the series of the request that is under way, if it does.
    ``way`` is the class's ``request`` where a request may go past it: it is ours, and nothing is
    to be signed; else None.
    """

    __slots__ = ("_adapters", "_adapters_version", "_fields", "_fields_version", "_hooks",
                 "_params", "_plain", "_proxies", "cookie_headers", "idle", "name", "templates",
                 "way")  # fmt: skip

    def __init__(self) -> None:
        self.name = ""
        self.idle: dict[Origin, list[Connection]] = defaultdict(list)
        self.cookie_headers = CookieHeaders()
        self.templates: Templates
        self.way: Any = None
        self._plain = False

    def doubt(self) -> None:
        """Something was set: the session has to be looked at again."""
        self._plain = False

    def holds(self) -> bool:
        """Whether the session is as it was, and that was plain.

        Called for each request, and so written to be fast.
        """
        return (
            self._plain
            and self._fields.version == self._fields_version
            and self._adapters.version == self._adapters_version
            and not self._params
            and not self._proxies
            and not self._hooks["response"]
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
        if type(headers._store) is not Counting:
            headers._store = Counting(headers._store)
        self._fields: Counting = headers._store
        self._adapters: Counting = session.adapters  # type: ignore[assignment]
        self._fields_version = self._fields.version
        self._adapters_version = self._adapters.version
        self._params, self._proxies, self._hooks = session.params, session.proxies, session.hooks
        verify = (type(session.verify), session.verify)
        try:
            key = (*_values(self._fields), verify, session.trust_env and _environment())
            found = _templates.get(key)
        except TypeError:  # a header that cannot be a key is none that can be sent
            return False
        if found is None:
            if len(_templates) >= MAX_KINDS:
                _templates.clear()
            found = _templates[key] = Templates()
        self.templates = found
        is_ours = goes_our_way(session) and not session.auth
        self.way = type(session).request if is_ours else None
        self._plain = True
        return self.holds()

    def close(self) -> None:
        """Close the connections that are idle."""
        for idle in self.idle.values():
            while idle:
                idle.pop().close()


class Counting(OrderedDict[str, Any]):
    """What a session's headers are kept in, and its adapters, which counts its changes.

    What else changes an ``OrderedDict`` sets or deletes items by what is here.
    """

    __slots__ = ("version",)

    def __init__(self, items: Any = ()) -> None:
        self.version = 0
        super().__init__(items)

    def __setitem__(self, name: str, value: Any) -> None:
        self.version += 1
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        self.version += 1
        super().__delitem__(name)

    def pop(self, *args: Any) -> Any:
        self.version += 1
        return super().pop(*args)

    def popitem(self, last: bool = True) -> tuple[str, Any]:
        self.version += 1
        return super().popitem(last)

    def clear(self) -> None:
        self.version += 1
        super().clear()

    def __reduce__(self) -> Any:
        return OrderedDict, (), None, None, iter(self.items())


def _set(session: requests.Session, name: str, value: Any) -> None:
    """Set an attribute of a session, as its constructor does, too."""
    if name == "adapters" and type(value) is OrderedDict:
        value = Counting(value)
    _set_attribute(session, name, value)
    standing: Standing | None = session.__dict__.get("_loads")
    if standing is not None:
        standing.doubt()


def watch_sessions(*ways: Any) -> None:
    """Have all sessions say when something in them is set.

    ``ways`` are the methods by which :mod:`loads.clients` makes requests.
    """
    requests.Session.__setattr__ = _set  # type: ignore[method-assign, assignment]
    _ways.update(ways)


def goes_our_way(session: requests.Session) -> bool:
    """Whether nobody has put a ``request`` of his own in the place of ours."""
    return type(session).request in _ways and "request" not in session.__dict__


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
        and not session.cert
        and not session.stream
        and type(session.adapters) is Counting
        and len(session.adapters) == 2
        and type(session.headers) is CaseInsensitiveDict
        and type(session.cookies) is RequestsCookieJar
        and all(map(_is_plain_adapter, session.adapters.values()))
    )


def _is_plain_class(kind: type[requests.Session]) -> bool:
    """Whether a class of sessions leaves what we replace as it is, and says when it is changed."""
    plain = _plain_classes.get(kind)
    if plain is None:
        base = requests.Session
        plain = kind.__setattr__ is _set and all(
            getattr(kind, name) is getattr(base, name) for name in _OURS
        )
        _plain_classes[kind] = plain
    return plain


def _is_plain_adapter(adapter: Any) -> bool:
    """Whether it is Requests' own, with nothing replaced in it, and without retries."""
    return (
        type(adapter) is HTTPAdapter
        and not adapter.max_retries.total
        and len(adapter.__dict__) == _ADAPTER_STATE
    )
