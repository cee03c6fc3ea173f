"""A WSGI application that is really a server elsewhere: what WebTest needs to talk HTTP.

A WSGI request becomes one request on a ``requests.Session`` of the bridge's own, and its answer
becomes the WSGI response.  What each side keeps to itself:

- Cookies and redirects are WebTest's.  The session neither keeps cookies nor follows anything.
- Where requests go is the test's choice alone: neither proxies nor passwords are taken from the
  environment, because a load that goes elsewhere hits somebody who was not asked.
- The URL on the wire is the one that the test wrote.  WSGI only knows paths with their percent
  signs resolved, where ``/a%2Fb`` and ``/a/b`` are the same; so the URL that the test wrote
  travels along in the environ, under :data:`URL`.
- Requests has taken the transfer coding and the content coding off the body, so the headers that
  tell of them are not passed on, and ``Content-Length`` is that of the body as it is.

WebTest believes that its application is at ``http://localhost:80``.  :meth:`Bridge.place` tells a
request where it really goes, before cookies are chosen for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http.client import responses
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import SplitResult, quote, unquote, unquote_to_bytes, urlsplit

import requests
from requests.sessions import merge_setting
from requests.structures import CaseInsensitiveDict

from loads.clients.session import Session
from loads.errors import UsageError

URL = "loads.url"  #: environ key: the URL as the test wrote it; whole, once it has its place

_RESERVED = ":/?#[]@!$&'()*+,;="  # RFC 3986, section 2.2
_IN_PATHS = "/:@!$&'()*+,;="  # RFC 3986, section 3.3
_ASCII = bytes(range(128))
_NO_PERCENT_CODE = re.compile(r"%(?![0-9a-fA-F]{2})")
_WHOLE_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_WEBTEST_HOST = "localhost:80"
_MIN_REASON = 2  # characters: WebTest's lint takes a status line with fewer for a mistake

# RFC 9110, section 7.6.1, and what is no longer true once the body has been decoded.
_NOT_PASSED_ON = {
    "connection",
    "content-encoding",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}

Environ = dict[str, Any]


def quoted(url: str) -> str:
    """``url`` with what may not be in a URL percent-encoded (as UTF-8), all else as it is."""
    return quote(_NO_PERCENT_CODE.sub("%25", url), safe=_RESERVED + "%")


def quoted_path(path: str) -> str:
    """A path of WSGI's (bytes, written as Latin-1) as a URL has it."""
    return quote(path.encode("latin-1", "replace"), safe=_IN_PATHS)


class Bridge:
    """A WSGI application that is the server at ``url``.

    ``session`` is the session that it talks through, of which ``verify``, ``cert``, ``auth`` and
    ``headers`` can be set.  Raises :class:`UsageError` for what is no URL of a server.  Calling it
    raises Requests' exceptions when there is no answer.
    """

    def __init__(self, url: str, session: requests.Session | None = None) -> None:
        self.session = session if session is not None else BridgeSession()
        self.url = url

    @property
    def url(self) -> str:
        """Where requests go, as it was set; paths are taken to be below its path."""
        return self._url

    @url.setter
    def url(self, url: str) -> None:
        parts = _checked(url)
        self._url = url
        self._scheme, self._prefix = parts.scheme, parts.path.rstrip("/")
        self._origin = _origin(parts)
        self.host = parts.netloc.rpartition("@")[2]
        self._base = f"{self._scheme}://{self.host}"
        self._auth = None
        if parts.username is not None:
            self._auth = (unquote(parts.username), unquote(parts.password or ""))

    # -- WebTest's requests ------------------------------------------------------------------

    def place(self, environ: Environ, host: str = "") -> None:
        """Tell a request of WebTest's that it goes to this server.

        A path is below :attr:`url`; a whole URL, such as that of a redirect, is what it says, and
        must be on this server: raises :class:`UsageError` when it is not.  ``host`` is what the
        test calls the server, if it is not the host of its URL.  A Host header that the
        test has set for this one request stays.
        """
        host = host or self.host
        url, told = self._written(environ), _WEBTEST_HOST
        if _WHOLE_URL.match(url):
            parts = urlsplit(url)
            if _origin(parts) != self._origin and parts.netloc.lower() != host.lower():
                raise UsageError(
                    f"{url} is not on {self._base}, where all requests of this app go.",
                    "Set server_url to go elsewhere, or use self.session for other servers.",
                )
            told, path = parts.netloc, parts.path or "/"
            if ":" not in told:  # as WebOb writes it
                told = f"{told}:{_PORTS.get(parts.scheme, '')}"
        else:
            path = self._prefix + "/" + url.partition("?")[0].removeprefix("/")
        if environ.get("HTTP_HOST", told) == told:
            environ["HTTP_HOST"] = host
        environ["wsgi.url_scheme"] = self._scheme
        environ["PATH_INFO"] = _resolved(path)
        environ[URL] = f"{self._base}{path}"

    def _written(self, environ: Environ) -> str:
        """The URL that the test wrote, unless it has changed the path since."""
        url: str = environ.get(URL, "")
        path = urlsplit(url).path if _WHOLE_URL.match(url) else url.partition("?")[0]
        return url if _resolved(path) == environ["PATH_INFO"] else quoted_path(environ["PATH_INFO"])

    # -- WSGI --------------------------------------------------------------------------------

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        """Send the request and give its answer."""
        response = self.session.send(self._request(environ), allow_redirects=False)
        headers: list[tuple[str, str]] = []
        start_response(_status(response), headers)
        # WebTest's lint checks what WSGI asks of applications, and real servers send more than
        # that: a header "Status", a body without a Content-Type.  It looks now, and finds nothing
        # yet; WebOb takes the list when the application has returned.
        headers.extend(_headers(response))
        return [response.content]

    def _request(self, environ: Environ) -> requests.PreparedRequest:
        session = self.session
        headers = CaseInsensitiveDict(_request_headers(environ, self.host))
        length = environ.get("CONTENT_LENGTH")
        request = requests.PreparedRequest()
        request.prepare(
            method=environ["REQUEST_METHOD"],
            url=self._base,
            headers=merge_setting(headers, session.headers, dict_class=CaseInsensitiveDict),
            data=environ["wsgi.input"].read(int(length)) if length else b"",
            hooks=session.hooks,
        )
        request.method = environ["REQUEST_METHOD"]
        request.url = self._base + _target(environ)  # Requests would resolve and re-encode it
        auth = session.auth or self._auth
        if auth and "Authorization" not in headers:
            request.prepare_auth(auth)
        return request


class BridgeSession(Session):
    """A session that leaves cookies and redirects to WebTest, and heeds no environment."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: so not even the request that would follow is prepared."""


# -- URLs ------------------------------------------------------------------------------------------


def _checked(url: str) -> SplitResult:
    """The parts of a server's URL, in the form that goes over the wire."""
    message = f"{url!r} is not the URL of a web server."
    hint = "Write it in full, such as http://127.0.0.1:9000."
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        if isinstance(url, str) and url and "://" not in url:
            hint = f"Did you mean http://{url}?"
        raise UsageError(message, hint)
    try:
        parts = urlsplit(requests.Request("GET", url).prepare().url or "")
    except ValueError as error:  # Requests' exceptions for URLs are ValueErrors
        raise UsageError(message, f"{error}. {hint}") from error
    if parts.query:
        raise UsageError(message, "It has a query; give that with the requests.")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def _resolved(path: str) -> str:
    """A path as WSGI has it: bytes, written as Latin-1."""
    return unquote_to_bytes(path).decode("latin-1")


def _target(environ: Environ) -> str:
    """Path and query of a request, as they are to be on the wire."""
    path_info = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    path = urlsplit(environ.get(URL, "")).path
    if not path or _resolved(path) != path_info:
        path = quoted_path(path_info) or "/"
    query = quoted(environ.get("QUERY_STRING", "")).replace("#", "%23")
    return f"{path}?{query}" if query else path


# -- headers ---------------------------------------------------------------------------------------


def _request_headers(environ: Environ, own_host: str) -> Iterator[tuple[str, str]]:
    """The headers of a request; its length and that of the URL's host are Requests' to say."""
    if environ.get("CONTENT_TYPE"):
        yield "Content-Type", environ["CONTENT_TYPE"]
    for key, value in environ.items():
        if not key.startswith("HTTP_") or key == "HTTP_TRANSFER_ENCODING":
            continue
        if key == "HTTP_HOST" and value in (own_host, _WEBTEST_HOST):
            continue
        yield key.removeprefix("HTTP_").replace("_", "-").title(), value


def _status(response: requests.Response) -> str:
    reason = response.reason or ""
    if len(reason) < _MIN_REASON:
        reason = responses.get(response.status_code, "Unknown")
    return f"{response.status_code} {reason}"


def _headers(response: requests.Response) -> Iterator[tuple[str, str]]:
    """The headers of an answer, those that came twice also twice."""
    dropped = {name.strip().lower() for name in response.headers.get("Connection", "").split(",")}
    dropped |= _NOT_PASSED_ON
    # a length that stands for no body is the answer to a question, and not about this answer
    bodiless = response.request.method == "HEAD" or response.status_code in (204, 304)
    if not bodiless:
        dropped.add("content-length")
        yield "Content-Length", str(len(response.content))
    for name, value in getattr(response.raw, "headers", response.headers).items():
        if name.lower() in dropped:
            continue
        if name.lower() == "location":  # bytes that are not ASCII have come as Latin-1
            yield name, quote(value.encode("latin-1"), safe=_ASCII)
        else:
            yield name, value
