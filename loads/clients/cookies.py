"""The ``Cookie`` headers of a session's requests, kept while nothing in its jar changes.

The standard library's jar takes twenty microseconds to say which of its cookies go with a request,
and says the same each time until a cookie is set, changed or expires.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from time import time
from typing import Any

import requests
from requests.cookies import RequestsCookieJar, get_cookie_header, merge_cookies

MAX_HEADERS = 100
_NOT_ASKED: Any = object()


class CookieHeaders:
    """What one session's jar has said, by request."""

    __slots__ = ("_headers", "_jar", "_until")

    def __init__(self) -> None:
        self._jar: list[Any] = []
        self._until = 0.0
        self._headers: dict[object, str | None] = {}

    def header(self, jar: Any, key: object, request: requests.PreparedRequest) -> str | None:
        """The header for ``request``, which is always the same one for ``key``."""
        if type(jar._policy) is not DefaultCookiePolicy:
            said: str | None = get_cookie_header(jar, request)  # which may be anything
            return said
        content = _content(jar)
        if content != self._jar or time() >= self._until or len(self._headers) >= MAX_HEADERS:
            self._headers.clear()
        header: str | None = self._headers.get(key, _NOT_ASKED)
        if header is _NOT_ASKED:
            # a copy, as Requests asks: before Python 3.11, copying sorts them
            asked = merge_cookies(RequestsCookieJar(), jar)
            header = self._headers[key] = get_cookie_header(asked, request)
            self._jar = content
            expiries = (cookie.expires for cookie in asked if cookie.expires is not None)
            self._until = min(expiries, default=float("inf"))
        return header


def _content(jar: Any) -> list[Any]:
    """All that a jar's answers depend on, to be compared: cookies are equal to themselves only."""
    policy = jar._policy
    content = [policy, policy._allowed_domains, policy._blocked_domains]
    for paths in jar._cookies.values():
        for names in paths.values():
            for cookie in names.values():
                content += (cookie, cookie.value, cookie.expires)
    return content
