"""``webtest.TestApp`` on a real server, and WebTest measured.

:class:`TestApp` is WebTest's, with a :class:`~loads.clients.bridge.Bridge` for its application.
Its requests are hits because those of the bridge's session are.

In a worker, :func:`measure` does the same for a test with nothing of Loads in it:
``webtest.TestApp("http://...")`` gets a bridge too, and a request to an application in this very
process is a hit whose name says that no network was between.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import webtest

from loads.clients.bridge import URL, Bridge, quoted, quoted_path
from loads.clients.hits import MAX_KEYS, Choices
from loads.clients.session import Session
from loads.metrics.series import HIT, NoAnswer, SeriesKey
from loads.recorder.current import current

IN_PROCESS = " (in process, no network)"
_HERE = "http://in-process"  # stands for the host that an application in this process lacks
_OTHER_TARGET = "WEBTEST_TARGET_URL"  # WebTest goes there, whatever application it was given

_webtest_init: Callable[..., None] = webtest.TestApp.__init__
_webtest_do_request: Callable[..., Any] = webtest.TestApp.do_request
_webtest_get_response: Callable[..., Any] = webtest.TestRequest.get_response


class TestApp(webtest.TestApp):  # type: ignore[misc]
    """WebTest's whole API, against the server at ``url``.

    Paths are below ``url``: with ``http://host/api``, ``get("/users")`` requests ``/api/users``.
    A status that is not expected raises ``webtest.AppError``; no answer at all raises Requests'
    exceptions; a ``url`` that is none, or a request that would go to another server, raises
    :class:`~loads.errors.UsageError`.  The other parameters are WebTest's own.
    """

    def __init__(self, url: str, *args: Any, **kwargs: Any) -> None:
        _init_on_server(self, url, *args, **kwargs)

    @property
    def server_url(self) -> str:
        """The URL that paths are below.  Setting it has the next request go there."""
        bridge: Bridge = self.app
        return bridge.url

    @server_url.setter
    def server_url(self, url: str) -> None:
        before = self.app.host
        self.app.url = url
        if self.extra_environ.get("HTTP_HOST") == before:
            self.extra_environ["HTTP_HOST"] = self.app.host

    @property
    def session(self) -> Session:
        """The session that requests go through, for its ``verify``, ``cert`` and ``headers``."""
        session: Session = self.app.session
        return session

    def do_request(self, req: Any, status: Any = None, expect_errors: Any = None) -> Any:
        """As ``webtest.TestApp.do_request``, which all requests come through."""
        _place(self, req)
        return super().do_request(req, status, expect_errors)


def _init_on_server(app: Any, url: str, *args: Any, **kwargs: Any) -> None:
    """Make any ``webtest.TestApp`` one of the server at ``url``."""
    with _without_other_target():
        _webtest_init(app, Bridge(url), *args, **kwargs)
    # set_cookie() looks here for the domain of its cookies
    app.extra_environ = {"HTTP_HOST": app.app.host, **app.extra_environ}
    app.RequestClass = _with_url(app.RequestClass)


@contextlib.contextmanager
def _without_other_target() -> Iterator[None]:
    """Keep WebTest from replacing an application that was chosen already."""
    other = os.environ.pop(_OTHER_TARGET, None)
    try:
        yield
    finally:
        if other is not None:
            os.environ[_OTHER_TARGET] = other


@functools.cache
def _with_url(request_class: Any) -> Any:
    """A class of requests that remember the URL that they were made from."""

    class Request(request_class):  # type: ignore[misc]
        @classmethod
        def blank(cls, path: str, *args: Any, **kwargs: Any) -> Any:
            path = quoted(path)
            request = super().blank(path, *args, **kwargs)
            request.environ[URL] = path
            return request

    return Request


def _place(app: Any, request: Any) -> None:
    app.app.place(request.environ, app.extra_environ.get("HTTP_HOST", ""))


# -- tests with nothing of Loads in them -----------------------------------------------------------


def measure() -> None:
    """Have what this process does with WebTest measured, whoever does it."""
    webtest.TestApp.__init__ = _init
    webtest.TestApp.do_request = _do_request
    webtest.TestRequest.get_response = webtest.TestRequest.send = _get_response


def _init(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
    """As ``webtest.TestApp.__init__``, with our bridge where WebTest would import WSGIProxy2."""
    target = os.environ.get(_OTHER_TARGET, app)
    if isinstance(target, str) and target.startswith("http"):
        _init_on_server(self, target, *args, **kwargs)
    else:
        _webtest_init(self, app, *args, **kwargs)


def _do_request(self: Any, req: Any, status: Any = None, expect_errors: Any = None) -> Any:
    if isinstance(self.app, Bridge):
        _place(self, req)
    return _webtest_do_request(self, req, status, expect_errors)


def _get_response(request: Any, application: Any = None, catch_exc_info: bool = False) -> Any:
    """Have an application of this process answer, and record that as a hit."""
    if application is None or URL in request.environ:  # over the network: the session's to record
        return _webtest_get_response(request, application, catch_exc_info)
    environ, recorder = request.environ, current()
    path = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
    key = _key(Choices.name, path, environ.get("QUERY_STRING", ""), environ["REQUEST_METHOD"])
    record = recorder.series(key).record
    sent = request.content_length or 0
    recorder.count("hits_started")
    outcome, received = int(NoAnswer.CUT), 0
    start = time.perf_counter()
    try:
        response = _webtest_get_response(request, application, catch_exc_info)
        with contextlib.suppress(TypeError):  # a body of str, which WebTest lets pass
            received = len(response.body)  # an application may do its work only as this is read
        outcome = response.status_int
        return response
    except Exception:
        outcome = NoAnswer.OTHER
        raise
    finally:
        record(int((time.perf_counter() - start) * 1e6), outcome, sent, received)
        recorder.touch(time.monotonic())


@functools.lru_cache(maxsize=MAX_KEYS)  # working it out costs as much as a small application
def _key(name_of: Callable[[str], str], path: str, query: str, method: str) -> SeriesKey:
    url = _HERE + quoted_path(path) + (f"?{query}" if query else "")
    return SeriesKey(HIT, f"{name_of(url).removeprefix(_HERE)}{IN_PROCESS}", method)
