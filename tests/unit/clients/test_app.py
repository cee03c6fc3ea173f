"""WebTest over a session that never touches the network, and WebTest measured."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
import requests
import webtest
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

from loads.case import TestCase
from loads.clients import app as measured
from loads.clients import session
from loads.clients.app import TestApp
from loads.clients.bridge import Bridge, quoted
from loads.clients.hits import Choices, exact_name
from loads.errors import UsageError
from loads.metrics.series import HIT, NoAnswer, Series
from loads.metrics.tally import Tally
from loads.recorder import current
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader
from loads.recorder.writer import Recorder

HOST = "http://site:9000"
Headers = list[tuple[str, str]]


class Wire(BaseAdapter):
    """What a session sends goes here; the answers come from ``answers``, by path."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[requests.PreparedRequest] = []
        self.options: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[int, Headers, bytes]] = {}
        self.reason: str | None = None
        self.error: BaseException | None = None

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        self.sent.append(request)
        self.options.append(options)
        if self.error is not None:
            raise self.error
        status, headers, body = self.answers.get(
            request.path_url.partition("?")[0],
            (200, [("Content-Type", "text/plain")], b"hello"),
        )
        raw = HTTPResponse(
            body=BytesIO(b"" if request.method == "HEAD" else body),
            headers=HTTPHeaderDict(headers),
            status=status,
            reason=self.reason if self.reason is not None else "Some Reason",
            preload_content=False,
            request_method=request.method,
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def last(self) -> requests.PreparedRequest:
        return self.sent[-1]

    def answer(self, path: str, body: bytes = b"", *headers: tuple[str, str], status: int = 200):
        """Have ``path`` answered so."""
        self.answers[path] = (status, list(headers), body)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def app(wire: Wire) -> TestApp:
    return app_at(HOST, wire)


def app_at(url: str, wire: Wire, **options: Any) -> TestApp:
    app = TestApp(url, **options)
    app.session.mount("http://", wire)
    app.session.mount("https://", wire)
    return app


# -- URLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server_url", "path", "sent"),
    [
        ("http://site", "/", "http://site/"),
        ("http://site", "", "http://site/"),
        ("http://site/", "/", "http://site/"),
        ("http://site:9000/", "/a", "http://site:9000/a"),
        ("HTTP://Site", "/", "http://site/"),
        ("http://[::1]:9000", "/a", "http://[::1]:9000/a"),
        ("http://bücher.example", "/a", "http://xn--bcher-kva.example/a"),
        # what is in the URL of the server comes first
        ("http://site/api", "/a", "http://site/api/a"),
        ("http://site/api/", "/a", "http://site/api/a"),
        ("http://site/api", "/", "http://site/api/"),
        ("http://site/api", "/apis", "http://site/api/apis"),
        ("http://site/api", "/api/a", "http://site/api/api/a"),
        ("http://site/a%20b", "/c", "http://site/a%20b/c"),
        # a whole URL is what it says
        ("http://site/api", "http://site/api/a", "http://site/api/a"),
        ("http://site/api", "http://site/login", "http://site/login"),
        ("http://site/api", "http://site", "http://site/"),
        ("http://site", "http://site:80/a", "http://site/a"),
        ("https://site", "https://site:443/a", "https://site/a"),
        ("http://site", "http://SITE/a?b", "http://site/a?b"),
        # what the test wrote stays as it is
        ("http://site", "/a%2Fb/c", "http://site/a%2Fb/c"),
        ("http://site", "/a%2fb", "http://site/a%2fb"),
        ("http://site", "/%7Euser/~user", "http://site/%7Euser/~user"),
        ("http://site", "/a;b=1,2:3@4!$&'()*+=", "http://site/a;b=1,2:3@4!$&'()*+="),
        ("http://site", "/caf%C3%A9", "http://site/caf%C3%A9"),
        ("http://site", "/caf%E9", "http://site/caf%E9"),
        ("http://site", "/%3Fa%23b%25", "http://site/%3Fa%23b%25"),
        ("http://site", "/a/../b/./c", "http://site/a/../b/./c"),
        ("http://site", "/a?b=c%20d+e&f=%2f&g", "http://site/a?b=c%20d+e&f=%2f&g"),
        ("http://site", "/a?u=http://x/?y=/z", "http://site/a?u=http://x/?y=/z"),
        # what may not be in a URL is encoded
        ("http://site", "/café au lait", "http://site/caf%C3%A9%20au%20lait"),
        ("http://site", '/日本"<>', "http://site/%E6%97%A5%E6%9C%AC%22%3C%3E"),
        ("http://site", "/100%/a%2", "http://site/100%25/a%252"),
        ("http://site", "/a?q=日 本", "http://site/a?q=%E6%97%A5%20%E6%9C%AC"),
        ("http://site", "/a#part", "http://site/a"),
        ("http://site", "/a?b#part", "http://site/a?b"),
    ],
)
@pytest.mark.parametrize("how", ["get", "post", "request"])
def test_url(wire: Wire, server_url: str, path: str, sent: str, how: str) -> None:
    if how == "request":
        path = path.partition("#")[0]  # WebTest's request() takes no fragments
    getattr(app_at(server_url, wire), how)(path)
    assert wire.last.url == sent


def test_query_of_params(app: TestApp, wire: Wire) -> None:
    app.get("/a?b=1", {"c": "é &", "d": ["1", "2"]})
    assert wire.last.path_url == "/a?b=1&c=%C3%A9+%26&d=1&d=2"


def test_path_that_was_changed_in_the_environ(app: TestApp, wire: Wire) -> None:
    request = app.RequestClass.blank("/a%2Fb")
    request.environ["PATH_INFO"] = "/caf\xc3\xa9 %41?#"
    app.do_request(request)
    assert wire.last.url == f"{HOST}/caf%C3%A9%20%2541%3F%23"


def test_request_that_somebody_else_made(app: TestApp, wire: Wire) -> None:
    app.server_url = f"{HOST}/api"
    request = webtest.TestRequest.blank("/a?b=c", method="POST", POST=b"text")
    for _ in range(2):
        app.do_request(request)
        assert (wire.last.method, wire.last.url) == ("POST", f"{HOST}/api/a?b=c")
    app.request(request, path_info="/b")
    assert wire.last.url == f"{HOST}/api/b?b=c"


def test_script_name(app: TestApp, wire: Wire) -> None:
    app.get("/a", extra_environ={"SCRIPT_NAME": "/shop"})
    app.get("/shop/a", extra_environ={"SCRIPT_NAME": "/shop"})
    assert [sent.url for sent in wire.sent] == [f"{HOST}/shop/a"] * 2


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("site:9000", "Did you mean http://site:9000?"),
        ("127.0.0.1", "Did you mean http://127.0.0.1?"),
        ("", "such as http://127.0.0.1:9000"),
        ("/", "Did you mean"),
        ("ftp://site", "such as http://127.0.0.1:9000"),
        ("http://", "such as http://127.0.0.1:9000"),
        ("http://site:port", "such as http://127.0.0.1:9000"),
        ("http://site:99999", "such as http://127.0.0.1:9000"),
        ("http://[::1", "such as http://127.0.0.1:9000"),
        ("http://site/?a=b", "query"),
        (None, "such as http://127.0.0.1:9000"),
        (print, "such as http://127.0.0.1:9000"),
    ],
)
def test_bad_server_url(app: TestApp, url: Any, hint: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a web server") as caught:
        TestApp(url)
    assert hint in caught.value.hint
    with pytest.raises(UsageError):
        app.server_url = url
    assert app.server_url == HOST


@pytest.mark.parametrize("url", ["http://other/a", "https://site:9000/a", "http://site/a"])
def test_other_server(app: TestApp, wire: Wire, url: str) -> None:
    if url.startswith("https"):
        app.server_url = "http://site"
    with pytest.raises(UsageError, match="is not on") as caught:
        app.get(url)
    assert "self.session" in caught.value.hint
    assert not wire.sent


def test_pointing_elsewhere(app: TestApp, wire: Wire) -> None:
    app.get("/a")
    app.server_url = "http://other/api"
    app.get("/a")
    assert [sent.url for sent in wire.sent] == [f"{HOST}/a", "http://other/api/a"]
    assert app.server_url == "http://other/api"
    app.set_cookie("a", "b")
    app.get("/a")
    assert wire.last.headers["Cookie"] == 'a="b"'


def test_case_without_server_url() -> None:
    case = TestCase()
    with pytest.raises(UsageError) as caught:
        case.app.get("/")
    assert "server_url" in caught.value.hint


def test_case() -> None:
    case = TestCase()
    case.server_url = HOST
    assert case.app is case.app
    assert isinstance(case.app, webtest.TestApp)
    assert case.app.server_url == HOST


@pytest.mark.parametrize("text", ["/a%2fb?c=%20#d", "http://x/~a;b:c@d!$&'()*+,=[]"])
def test_quoted_leaves_urls_alone(text: str) -> None:
    assert quoted(text) == text


# -- requests --------------------------------------------------------------------------------------


def test_headers_of_a_request(app: TestApp, wire: Wire) -> None:
    app.session.headers["X-Every"] = "one"
    app.post("/", {"a": "é"}, headers={"X-Mine": "caf\xe9", "Accept-Encoding": "br"}, xhr=True)
    assert dict(wire.last.headers) == {
        "User-Agent": requests.utils.default_user_agent(),
        "Accept": "*/*",
        "Accept-Encoding": "br",
        "Connection": "keep-alive",
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": "8",
        "X-Every": "one",
        "X-Mine": "caf\xe9",
        "X-Requested-With": "XMLHttpRequest",
    }
    assert wire.last.body == b"a=%C3%A9"


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("get", None, None),
        ("head", None, None),
        ("options", None, "0"),
        ("delete", None, "0"),
        ("post", "", "0"),
        ("post", "\u65e5", "3"),
        ("put", b"\x00\xff", "2"),
        ("patch", b"x", "1"),
        ("delete", "x", "1"),
    ],
)
def test_method_and_body(
    app: TestApp, wire: Wire, method: str, body: Any, length: str | None
) -> None:
    getattr(app, method)("/", *(() if body is None else (body,)))
    assert wire.last.method == method.upper()
    assert wire.last.headers.get("Content-Length") == length
    assert (wire.last.body or b"") == (body.encode() if isinstance(body, str) else body or b"")


def test_unusual_method(app: TestApp, wire: Wire) -> None:
    with pytest.warns(webtest.lint.WSGIWarning, match="MKCOL"):
        app.request("/a", method="MKCOL", body=b"x")
    assert (wire.last.method, wire.last.body) == ("MKCOL", b"x")


def test_host_is_that_of_the_url(app: TestApp, wire: Wire) -> None:
    app.get("/")
    app.get(f"{HOST}/")
    app.request("/")
    assert not any("Host" in sent.headers for sent in wire.sent)  # so urllib3 writes it
    assert app.get("/").request.url == f"{HOST}/"


@pytest.mark.parametrize("how", ["get", "post", "request"])
def test_host_that_the_test_sets(app: TestApp, wire: Wire, how: str) -> None:
    getattr(app, how)("/", headers={"Host": "shop.example"})
    assert wire.last.headers["Host"] == "shop.example"
    assert wire.last.url == f"{HOST}/"


def test_virtual_host(wire: Wire) -> None:
    app = app_at(HOST, wire, extra_environ={"HTTP_HOST": "shop.example"})
    wire.answer("/old", b"", ("Location", "http://shop.example/new"), status=302)
    app.set_cookie("a", "b")
    app.get("/old").follow()
    app.request("/old")
    assert [sent.url for sent in wire.sent] == [f"{HOST}/old", f"{HOST}/new", f"{HOST}/old"]
    assert {sent.headers["Host"] for sent in wire.sent} == {"shop.example"}
    assert {sent.headers["Cookie"] for sent in wire.sent} == {'a="b"'}
    app.server_url = "http://other"
    app.get("/")
    assert wire.last.headers["Host"] == "shop.example"


def test_authorization(wire: Wire) -> None:
    app = app_at("http://me:p%40ss@site", wire)
    app.get("/")
    assert wire.last.url == "http://site/"
    assert wire.last.headers["Authorization"] == "Basic bWU6cEBzcw=="
    app.session.auth = ("you", "")
    app.get("/")
    assert wire.last.headers["Authorization"] == "Basic eW91Og=="
    app.authorization = ("Bearer", "token")
    app.get("/")
    assert wire.last.headers["Authorization"] == "Bearer token"


def test_environment_is_not_heeded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/elsewhere")
    monkeypatch.setenv("WEBTEST_TARGET_URL", "http://elsewhere")
    app = app_at(HOST, wire)
    app.get("/")
    assert wire.last.url == f"{HOST}/"
    assert not wire.options[-1]["proxies"]
    assert wire.options[-1]["verify"] is True
    app.session.verify, app.session.cert = "/ca.pem", "/cert.pem"
    app.get("/")
    assert (wire.options[-1]["verify"], wire.options[-1]["cert"]) == ("/ca.pem", "/cert.pem")


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (200, "Fine", "200 Fine"),
        (200, "", "200 OK"),
        (404, "A", "404 Not Found"),
        (299, "", "299 Unknown"),
        (599, "Gone fishing: \xe9", "599 Gone fishing: \xe9"),
    ],
)
def test_status(app: TestApp, wire: Wire, status: int, reason: str, line: str) -> None:
    wire.answer("/", status=status)
    wire.reason = reason
    assert app.get("/", status="*").status == line


@pytest.mark.parametrize(
    "header",
    [
        ("Status", "200 OK"),
        ("X-Trailing_", "a"),
        ("9-digits", "a"),
        ("X-Tab", "a\tb"),
        ("X-Latin", "caf\xe9"),
        ("X_Underscore", "a"),
        ("Set-Cookie", "no cookie at all"),
    ],
)
def test_header_that_lint_would_refuse(app: TestApp, wire: Wire, header: tuple[str, str]) -> None:
    wire.answer("/", b"hello", header)
    assert app.lint
    answer = app.get("/")
    assert header in answer.headerlist
    answer.mustcontain("hello")


@pytest.mark.parametrize("status", [204, 304])
def test_answer_without_body_that_has_a_content_type(app: TestApp, wire: Wire, status: int) -> None:
    wire.answer("/", b"", ("Content-Type", "a/b"), ("Content-Length", "7"), status=status)
    answer = app.get("/")
    assert (answer.body, answer.content_type, answer.content_length) == (b"", "a/b", 7)


def test_headers_of_an_answer(app: TestApp, wire: Wire) -> None:
    wire.answer(
        "/",
        b"hello",
        ("Content-Type", "text/html; charset=latin-1"),
        ("Set-Cookie", "a=1, 2; Path=/"),
        ("Connection", "close, X-Hop"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "identity"),
        ("Proxy-Authenticate", "Basic"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "h2c"),
        ("X-Hop", "1"),
        ("Set-Cookie", "b=3"),
        ("Vary", "a"),
        ("Vary", "b"),
    )
    answer = app.get("/")
    assert sorted(answer.headerlist) == [
        ("Content-Length", "5"),
        ("Content-Type", "text/html; charset=latin-1"),
        ("Set-Cookie", "a=1, 2; Path=/"),
        ("Set-Cookie", "b=3"),
        ("Vary", "a"),
        ("Vary", "b"),
    ]


@pytest.mark.parametrize("lint", [True, False])
def test_compressed_body(wire: Wire, lint: bool) -> None:
    app = app_at(HOST, wire, lint=lint)
    packed = gzip.compress(b"hello " * 100)
    wire.answer("/", packed, ("Content-Encoding", "gzip"), ("Content-Length", str(len(packed))))
    answer = app.get("/")
    assert answer.body == b"hello " * 100
    assert (answer.content_length, answer.content_encoding) == (600, None)


def test_unknown_content_encoding(app: TestApp, wire: Wire) -> None:
    wire.answer("/", b"\x0b\x02", ("Content-Encoding", "made-up"), ("Content-Type", "a/b"))
    assert app.get("/").body == b"\x0b\x02"


def test_head(app: TestApp, wire: Wire) -> None:
    wire.answer("/", b"", ("Content-Length", "700"), ("Content-Encoding", "gzip"))
    answer = app.head("/")
    assert (answer.body, answer.content_length) == (b"", 700)


def test_body_of_nothing_that_was_compressed(app: TestApp, wire: Wire) -> None:
    packed = gzip.compress(b"")
    wire.answer("/", packed, ("Content-Encoding", "gzip"), ("Content-Length", str(len(packed))))
    answer = app.get("/")
    assert (answer.body, answer.content_length) == (b"", 0)


def test_text(app: TestApp, wire: Wire) -> None:
    wire.answer("/", "日本 é".encode(), ("Content-Type", "text/plain; charset=utf-8"))
    answer = app.get("/")
    assert answer.text == "日本 é"
    answer.mustcontain("日本", no="nothing")


def test_unexpected_status(app: TestApp, wire: Wire) -> None:
    wire.answer("/", b"sorry", ("Content-Type", "text/plain"), status=500)
    with pytest.raises(webtest.AppError, match=r"Bad response: 500 Some Reason .*\nb?'?sorry"):
        app.get("/")
    assert app.get("/", status=500).body == b"sorry"
    assert app.get("/", status="5*").body == b"sorry"
    assert app.get("/", expect_errors=True).status_int == 500
    with pytest.raises(webtest.AppError, match="not 404"):
        app.get("/", status=404)


def test_no_answer(app: TestApp, wire: Wire) -> None:
    wire.error = requests.ConnectionError("Connection refused")
    with pytest.raises(requests.ConnectionError, match="refused"):
        app.get("/")


# -- cookies ---------------------------------------------------------------------------------------


def test_cookies(app: TestApp, wire: Wire) -> None:
    wire.answer("/set", b"", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/deep"))
    wire.answer("/delete", b"", ("Set-Cookie", "a=; Max-Age=0"))
    app.get("/set")
    assert app.cookies == {"a": "1", "b": "2"}
    sent = {path: app.get(path) and wire.last.headers.get("Cookie") for path in ("/", "/deep/1")}
    assert sent == {"/": "a=1", "/deep/1": "b=2; a=1"}
    app.get("/delete")
    assert app.cookies == {"b": "2"}
    app.reset()
    app.get("/deep/1")
    assert "Cookie" not in wire.last.headers


def test_session_has_no_cookies(app: TestApp, wire: Wire) -> None:
    wire.answer("/", b"", ("Set-Cookie", "a=1"))
    app.get("/")
    assert not app.session.cookies
    app.reset()
    app.session.cookies.set("mine", "1")
    app.get("/")
    assert "Cookie" not in wire.last.headers


def test_cookies_are_not_shared(wire: Wire) -> None:
    wire.answer("/", b"", ("Set-Cookie", "a=1"))
    first, second = app_at(HOST, wire), app_at(HOST, wire)
    first.get("/")
    second.get("/other")
    assert "Cookie" not in wire.last.headers
    assert second.session is not first.session


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "http://localhost:9000", "http://www.site.example"]
)
def test_set_cookie(wire: Wire, url: str) -> None:
    app = app_at(url, wire)
    app.set_cookie("a", "b")
    app.get("/")
    assert wire.last.headers["Cookie"] == 'a="b"'


def test_cookies_follow_the_rules(wire: Wire) -> None:
    app = app_at("http://www.site.example", wire)
    wire.answer(
        "/",
        b"",
        ("Set-Cookie", "all=1; Domain=site.example"),
        ("Set-Cookie", "other=1; Domain=other.example"),
        ("Set-Cookie", "safe=1; Secure"),
    )
    app.get("/")
    assert set(app.cookies) == {"all", "safe"}
    app.get("/")
    assert wire.last.headers["Cookie"] == "all=1"
    app.server_url = "https://shop.site.example"
    app.get("/")
    assert wire.last.headers["Cookie"] == "all=1"
    app.server_url = "https://www.site.example"
    app.get("/")
    assert sorted(wire.last.headers["Cookie"].split("; ")) == ["all=1", "safe=1"]


def test_cookie_header_of_the_test(app: TestApp, wire: Wire) -> None:
    app.set_cookie("a", "b")
    app.get("/", headers={"Cookie": "mine=1"})
    assert wire.last.headers["Cookie"] == "mine=1"


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/new", f"{HOST}/new"),
        ("new?a=%2f", f"{HOST}/shop/new?a=%2f"),
        ("../new", f"{HOST}/new"),
        (f"{HOST}/new%2Fer", f"{HOST}/new%2Fer"),
        (f"{HOST}/shop/new", f"{HOST}/shop/new"),
        ("//site:9000/new", f"{HOST}/new"),
        ("?page=2", f"{HOST}/shop/old?page=2"),
        ("/new#part", f"{HOST}/new"),
        ("/caf\xc3\xa9", f"{HOST}/caf%C3%A9"),  # UTF-8, as it comes out of an HTTP parser
    ],
)
@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_follow(wire: Wire, prefix: str, location: str, sent: str) -> None:
    app = app_at(HOST + prefix, wire)
    wire.answer("/shop/old", b"", ("Location", location), status=302)
    app.get("/shop/old".removeprefix(prefix)).follow()
    assert wire.last.url == sent
    assert len(wire.sent) == 2


@pytest.mark.parametrize(
    ("location", "error"),
    [("http://other/", UsageError), ("app://callback", TypeError), ("http://[bad", ValueError)],
)
def test_redirect_elsewhere(
    app: TestApp, wire: Wire, location: str, error: type[Exception]
) -> None:
    wire.answer("/", b"", ("Location", location), status=302)
    answer = app.get("/")
    assert answer.headers["Location"] == location
    with pytest.raises(error):
        answer.follow()
    assert len(wire.sent) == 1


def test_links_and_forms(wire: Wire) -> None:
    app = app_at(f"{HOST}/shop", wire)
    page = b"""<a href="about">About</a> <a href="/top">Top</a>
        <form action="cart" method="post"><input name="n" value="1"><input type="file" name="f">
        <input type="submit" name="buy" value="Buy"></form>"""
    wire.answer("/shop/", page, ("Content-Type", "text/html"))
    app.get("/").click("About")
    assert wire.last.url == f"{HOST}/shop/about"
    assert wire.last.headers["Referer"] == f"{HOST}/shop/"
    app.get("/").click("Top")
    assert wire.last.url == f"{HOST}/top"
    form = app.get("/").form
    form["n"] = "2"
    form["f"] = webtest.Upload("a.txt", b"\x00text")
    form.submit("buy")
    assert wire.last.url == f"{HOST}/shop/cart"
    assert wire.last.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    body = wire.last.body
    assert isinstance(body, bytes)
    assert b'name="n"\r\n\r\n2\r\n' in body
    assert b'filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n\x00text\r\n' in body


def test_json(app: TestApp, wire: Wire) -> None:
    wire.answer("/", b'{"a": "\xc3\xa9"}', ("Content-Type", "application/json"))
    assert app.post_json("/", {"b": "é"}).json == {"a": "é"}
    assert wire.last.headers["Content-Type"] == "application/json"
    assert wire.last.body == b'{"b": "\\u00e9"}'


# -- measured --------------------------------------------------------------------------------------


@pytest.fixture
def hits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What a worker does; calling it gives the hits since the last call, by name and method."""
    memory = Memory.create()
    monkeypatch.setattr(current, "installed", [Recorder(memory)])
    for owner, name in (
        (requests.Session, "send"),
        (webtest.TestApp, "__init__"),
        (webtest.TestApp, "do_request"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back in the end
    for name in ("get_response", "send"):  # inherited: to be gone in the end
        monkeypatch.setattr(webtest.TestRequest, name, None, raising=False)
    session.measure()
    measured.measure()
    reader = RecorderReader(memory)

    def read() -> SimpleNamespace:
        tally: Tally = reader.read()
        series: dict[tuple[str, str], Series] = {
            (key.name, key.method): series
            for key, series in tally.series.items()
            if key.kind == HIT
        }
        counts = {key: dict(series.outcomes) for key, series in series.items()}
        assert tally.counts.get("hits_started", 0) == sum(s.count for s in series.values())
        return SimpleNamespace(counts=counts, series=series)

    yield read
    reader.close()


def here(path: str, method: str = "GET") -> tuple[str, str]:
    return f"{path} (in process, no network)", method


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    """An application that does its work late, as it is read."""
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise ValueError("of the application")
    if path == "/old":
        start_response("302 Found", [("Location", "/users/7")])
        return [b""]
    status = "404 Not Found" if path == "/none" else "200 OK"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])

    def pieces() -> Iterator[bytes]:
        yield b"hello "
        if path == "/raise-late":
            raise ValueError("of the application")
        yield environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))

    return pieces()


def test_in_process_hits(hits: Any) -> None:
    app = webtest.TestApp(wsgi)
    assert app.app is wsgi
    app.get("/users/42?a=b").mustcontain("hello")
    app.get("/users/43")
    app.post("/caf%C3%A9", b"12345")
    app.get("/old").follow()
    app.get("/none", status=404)
    with pytest.raises(webtest.AppError):
        app.get("/none")
    seen = hits()
    assert seen.counts == {
        here("/users/{n}"): {200: 3},
        here("/caf%C3%A9", "POST"): {200: 1},
        here("/old"): {302: 1},
        here("/none"): {404: 2},
    }
    post = seen.series[here("/caf%C3%A9", "POST")]
    assert (post.sent, post.received) == (5, 11)


@pytest.mark.parametrize("path", ["/raise", "/raise-late"])
@pytest.mark.parametrize("lint", [True, False])
def test_application_that_raises(hits: Any, path: str, lint: bool) -> None:
    with pytest.raises(ValueError, match="of the application"):
        webtest.TestApp(wsgi, lint=lint).get(path)
    assert hits().counts == {here(path): {NoAnswer.OTHER: 1}}


def test_application_that_breaks_the_rules(hits: Any) -> None:
    def broken(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Status", "200")])
        return [b""]

    with pytest.raises(AssertionError, match="Status header"):
        webtest.TestApp(broken).get("/")
    assert hits().counts == {here("/"): {NoAnswer.OTHER: 1}}


def test_user_that_is_cut(hits: Any) -> None:
    def slow(environ: Any, start_response: Any) -> Any:
        gevent.sleep(60)

    user = gevent.spawn(webtest.TestApp(slow).get, "/")
    gevent.sleep(0)
    user.kill()
    assert hits().counts == {here("/"): {NoAnswer.CUT: 1}}


def test_exact_names(hits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Choices, "name", staticmethod(exact_name))
    webtest.TestApp(wsgi).get("/users/42?a=b")
    assert list(hits().counts) == [here("/users/42?a=b")]


def test_bridge_is_counted_once(hits: Any, wire: Wire) -> None:
    app = app_at(HOST, wire)
    app.get("/users/42")
    wire.error = requests.ConnectionError("Connection refused")
    with pytest.raises(requests.ConnectionError):
        app.get("/users/42")
    name = f"{HOST}/users/{{n}}", "GET"
    assert hits().counts == {name: {200: 1, NoAnswer.REFUSED: 1}}


@pytest.mark.parametrize("suffix", ["", "/", "/#requests"])
def test_plain_webtest_on_a_server(hits: Any, wire: Wire, suffix: str) -> None:
    app = webtest.TestApp(HOST + suffix)
    assert isinstance(app.app, Bridge)
    app.app.session.mount("http://", wire)
    wire.answer("/old", b"", ("Location", f"{HOST}/a%2Fb"), ("Set-Cookie", "a=1"), status=301)
    app.get("/old").follow()
    assert wire.last.url == f"{HOST}/a%2Fb"
    assert wire.last.headers["Cookie"] == "a=1"
    assert hits().counts == {(f"{HOST}/old", "GET"): {301: 1}, (f"{HOST}/a%2Fb", "GET"): {200: 1}}


def test_webtests_own_variable(hits: Any, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBTEST_TARGET_URL", HOST)
    assert webtest.TestApp(wsgi).app.url == HOST
    app = app_at("http://mine", wire)
    app.get("/")
    assert wire.last.url == "http://mine/"


def test_derived_app(hits: Any, wire: Wire) -> None:
    class Mine(webtest.TestApp):  # type: ignore[misc]
        def do_request(self, req: Any, *args: Any, **kwargs: Any) -> Any:
            req.headers["X-Mine"] = "1"
            return super().do_request(req, *args, **kwargs)

    app = Mine(f"{HOST}/api")
    app.app.session.mount("http://", wire)
    app.get("/a")
    assert (wire.last.url, wire.last.headers["X-Mine"]) == (f"{HOST}/api/a", "1")
    Mine(wsgi).get("/")
    assert hits().counts == {(f"{HOST}/api/a", "GET"): {200: 1}, here("/"): {200: 1}}


# -- when it is imported ---------------------------------------------------------------------------


def in_a_worker(text: str) -> str:
    """Run Python that has been prepared as a worker is."""
    start = "import sys; from loads.clients.instrument import measure; measure();"
    done = subprocess.run(
        [sys.executable, "-c", start + text], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_test_without_webtest_does_not_pay_for_it() -> None:
    assert in_a_worker("import requests; print('webtest' in sys.modules)") == "False"


@pytest.mark.parametrize(
    "first",
    [
        "import webtest",
        "from webtest.app import TestApp",
        "from loads.clients.app import TestApp",
        "import loads.clients.bridge, webtest, loads.clients.app",
    ],
)
def test_webtest_is_measured_whoever_imports_it(first: str) -> None:
    show = "; import webtest; print(webtest.TestApp('http://site').app.url)"
    assert in_a_worker(first + show) == "http://site"
