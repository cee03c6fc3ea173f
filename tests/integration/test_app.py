"""WebTest on real sockets: the bytes that arrive, and the same tests run in every way."""

from __future__ import annotations

import gzip
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from loads.clients.app import TestApp
from tests.e2e.cluster import Result, run
from tests.e2e.stage import Stage

REPOSITORY = Path(__file__).parents[2]
HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


def answer(head: str, body: bytes = b"") -> bytes:
    """An HTTP answer, from its first lines."""
    return head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body


class Site(socketserver.ThreadingTCPServer):
    """Keeps the bytes that arrive, and answers with the bytes that it is given, by path.

    A connection stays open until an answer is empty (which cuts it), or says that it closes.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.answers: dict[str, bytes | Callable[[bytes], bytes]] = {}

    @property
    def lines(self) -> list[str]:
        """The first lines of the requests, without the version."""
        return [head.split(b"\r\n")[0].decode().removesuffix(" HTTP/1.1") for head in self.heads]

    def header(self, name: str) -> list[str]:
        """The values of a header in the last request."""
        lines = [line.partition(": ") for line in self.heads[-1].decode("latin-1").split("\r\n")]
        return [value for key, _, value in lines if key.lower() == name.lower()]


class _Connection(socketserver.StreamRequestHandler):
    server: Site
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.server.connections += 1
        while (head := self._head()) is not None:
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = self.rfile.read(int(length or 0))
            self.server.heads.append(head)
            self.server.bodies.append(body)
            path = head.split(b" ")[1].decode().partition("?")[0]
            reply = self.server.answers.get(path, HELLO)
            reply = reply(body) if callable(reply) else reply
            self.wfile.write(reply)
            if not reply or b"\r\nConnection: close\r\n" in reply:
                return

    def _head(self) -> bytes | None:
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            lines.append(line)
        return b"".join(lines) if line else None


@contextmanager
def serving(server: Site) -> Iterator[Site]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        yield site


@pytest.fixture
def app(site: Site) -> Iterator[TestApp]:
    app = TestApp(site.url)
    yield app
    app.session.close()


# -- bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/", "/"),
        ("", "/"),
        ("/a%2Fb/%3Fc", "/a%2Fb/%3Fc"),
        ("/~user/a;b=c,d:e@f!$&'()*+=", "/~user/a;b=c,d:e@f!$&'()*+="),
        ("/caf%C3%A9/%E6%97%A5", "/caf%C3%A9/%E6%97%A5"),
        ("/café", "/caf%C3%A9"),
        ("/caf%E9", "/caf%E9"),
        ("/a b", "/a%20b"),
        ("/100%", "/100%25"),
        ("/a/../b", "/a/../b"),
        ("/?a=%20+&b=/?:@&c", "/?a=%20+&b=/?:@&c"),
        ("/?q=é", "/?q=%C3%A9"),
        ("/?p=100%&q=%20", "/?p=100%25&q=%20"),
        ("/a?b#c", "/a?b"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/api", "/a%2Fp%C3%AFs"])
def test_request_line(site: Site, app: TestApp, prefix: str, path: str, target: str) -> None:
    app.server_url = site.url + prefix
    app.get(path)
    app.post(path, "text")
    assert site.lines == [f"GET {prefix}{target}", f"POST {prefix}{target}"]


def test_whole_request(site: Site, app: TestApp) -> None:
    app.post("/a", {"b": "c d"}, headers={"X-Mine": "caf\xe9"})
    first, *lines = site.heads[0].decode("latin-1").splitlines()
    assert first == "POST /a HTTP/1.1"
    assert sorted(lines) == [
        "Accept-Encoding: gzip, deflate",
        "Accept: */*",
        "Connection: keep-alive",
        "Content-Length: 5",
        "Content-Type: application/x-www-form-urlencoded",
        f"Host: {site.url.removeprefix('http://')}",
        f"User-Agent: {requests.utils.default_user_agent()}",
        "X-Mine: caf\xe9",
    ]
    assert site.bodies == [b"b=c+d"]


def test_host_that_the_test_sets(site: Site, app: TestApp) -> None:
    app.get("/", headers={"Host": "shop.example"})
    assert site.header("Host") == ["shop.example"]


def test_one_connection(site: Site, app: TestApp) -> None:
    for _ in range(5):
        app.get("/a")
        app.post("/b", "text")
        app.head("/none")
    assert (len(site.heads), site.connections) == (15, 1)


def test_big_bodies(site: Site, app: TestApp) -> None:
    big = bytes(range(256)) * 20_000
    site.answers["/echo"] = lambda body: answer(
        f"HTTP/1.1 200 OK\nContent-Type: a/b\nContent-Length: {len(body)}", body
    )
    assert app.put("/echo", big, content_type="application/octet-stream").body == big


def test_upload(site: Site, app: TestApp) -> None:
    content = b"\x00\xff\r\n" * 10_000
    app.post("/", {"a": "é"}, upload_files=[("file", "a.bin", content)])
    assert b'name="a"\r\n\r\n\xc3\xa9\r\n' in site.bodies[0]
    assert b'name="file"; filename="a.bin"\r\n' in site.bodies[0]
    assert b"\r\n\r\n" + content + b"\r\n--" in site.bodies[0]


def test_chunked_answer(site: Site, app: TestApp) -> None:
    head = "HTTP/1.1 200 OK\nContent-Type: text/plain\nTransfer-Encoding: chunked"
    site.answers["/"] = answer(head, b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
    got = app.get("/")
    assert (got.body, got.content_length) == (b"hello world", 11)
    assert "Transfer-Encoding" not in got.headers
    app.get("/")
    assert site.connections == 1


def test_compressed_answer(site: Site, app: TestApp) -> None:
    packed = gzip.compress(b"hello " * 1_000)
    head = "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Encoding: gzip"
    site.answers["/"] = answer(f"{head}\nContent-Length: {len(packed)}", packed)
    got = app.get("/")
    assert (got.body, got.content_length) == (b"hello " * 1_000, 6_000)


def test_answer_until_the_end(site: Site, app: TestApp) -> None:
    head = "HTTP/1.0 200 OK\nContent-Type: text/plain\nConnection: close"
    site.answers["/"] = answer(head, b"all there is")
    app.get("/").mustcontain("all there is")
    app.get("/").mustcontain("all there is")
    assert site.connections == 2


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("head", "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 700"),
        ("get", "HTTP/1.1 204 No Content\nContent-Type: text/plain"),
        ("get", 'HTTP/1.1 304 Not Modified\nETag: "a"\nContent-Length: 700'),
        ("get", "HTTP/1.1 200\nContent-Length: 0"),
        ("delete", "HTTP/1.1 204\nStatus: 204"),
    ],
)
def test_no_body(site: Site, app: TestApp, method: str, head: str) -> None:
    site.answers["/"] = answer(head)
    for _ in range(2):
        got = getattr(app, method)("/")
        assert (got.body, got.status_int) == (b"", int(head.split()[1]))
        assert got.content_length == (700 if "700" in head else got.content_length)
    assert site.connections == 1


def test_cookies(site: Site, app: TestApp) -> None:
    site.answers["/in"] = answer(
        "HTTP/1.1 302 Found\nSet-Cookie: a=1; Path=/\nSet-Cookie: b=2; Path=/; HttpOnly\n"
        "Location: /\nContent-Length: 0"
    )
    site.answers["/out"] = answer(
        "HTTP/1.1 200 OK\nSet-Cookie: a=; Max-Age=0; Path=/\nContent-Length: 0"
    )
    app.get("/in").follow()
    assert site.header("Cookie") == ["a=1; b=2"]
    assert app.get("/in").headers.getall("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/; HttpOnly"]
    app.get("/out")
    app.set_cookie("c", "3")
    app.get("/")
    assert site.header("Cookie") == ['b=2; c="3"']
    other = TestApp(site.url)
    other.get("/")
    other.session.close()
    assert site.header("Cookie") == []


def test_redirects(site: Site, app: TestApp) -> None:
    for path, location in (("/a", f"{site.url}/b%2F?c=d"), ("/b%2F", "e"), ("/e", "/end")):
        head = f"HTTP/1.1 301 Moved\nLocation: {location}\nContent-Length: 0"
        site.answers[path] = answer(head)
    app.get("/a").maybe_follow().mustcontain("hello")
    # WebTest joins "e" to the URL that WebOb shows it, in which %2F is a slash
    assert site.lines[:2] == ["GET /a", "GET /b%2F?c=d"]
    assert app.get("/a").status_int == 301


def test_pointing_elsewhere(site: Site, app: TestApp) -> None:
    with serving(Site()) as other:
        app.get("/a")
        app.server_url = f"{other.url}/api/"
        app.get("/b")
        assert other.header("Host") == [other.url.removeprefix("http://")]
        app.server_url = site.url
        app.get("/c")
        app.session.close()
        assert (site.lines, other.lines) == (["GET /a", "GET /c"], ["GET /api/b"])


def test_server_that_cuts_the_connection(site: Site, app: TestApp) -> None:
    site.answers["/cut"] = b""
    site.answers["/half"] = answer(
        "HTTP/1.1 200 OK\nContent-Length: 10\nConnection: close", b"half"
    )
    app.get("/")
    with pytest.raises(requests.ConnectionError):
        app.get("/cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        app.get("/half")
    app.get("/").mustcontain("hello")


def test_server_that_died() -> None:
    with serving(Site()) as site:
        app = TestApp(site.url)
        app.get("/").mustcontain("hello")
        url = site.url
    app.session.close()
    with pytest.raises(requests.ConnectionError, match="refused"):
        app.get("/")
    with pytest.raises(requests.ConnectionError, match="refused"):
        TestApp(url).get("/")


@pytest.mark.needs("openssl")
def test_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Safe(Site):
        def get_request(self) -> Any:
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True), address

        def handle_error(self, request: Any, address: Any) -> None:
            """A client that does not trust us."""

    with serving(Safe()) as site:
        app = TestApp(site.url.replace("http://127.0.0.1", "https://localhost"))
        with pytest.raises(requests.exceptions.SSLError):
            app.get("/")
        app.session.verify = str(certificate)
        assert app.get("/").request.scheme == "https"
        app.session.close()


# -- the same test, run in every way ---------------------------------------------------------------


@pytest.fixture
def shop(stage: Stage) -> str:
    """The URL of the example's shop."""
    command = ("python", "-m", "examples.wsgi_shop", "--port", 0)
    return stage.start("shop", *command, cwd=REPOSITORY).says("The shop is at").split()[-1]


def served(shop: str) -> int:
    with urllib.request.urlopen(f"{shop}count") as counted:
        return int(counted.read())


def hits_by_name(result: Result) -> dict[tuple[str, str], int]:
    return {(url["method"], url["name"]): url["hits"] for url in result.summary["urls"]}


@pytest.mark.parametrize(
    "command",
    [("python", "-m", "unittest"), ("python", "-m", "pytest", "-q", "--import-mode=prepend")],
    ids=["unittest", "pytest"],
)
def test_functional(stage: Stage, shop: str, command: tuple[str, ...]) -> None:
    text = (REPOSITORY / "examples/test_webtest.py").read_text()
    stage.write("test_mine.py", text.replace("http://127.0.0.1:9000", shop.rstrip("/")))
    what = "test_mine" if "unittest" in command else "test_mine.py"
    stage.write("pytest.ini", "[pytest]\n")
    tests = stage.start("tests", *command, what)
    assert tests.wait() == 0, tests.out + tests.err
    assert served(shop) == 7


def test_as_load(stage: Stage, shop: str) -> None:
    options = ("--server-url", shop, "-u", 6, "--hits", 3)
    result = run(stage, "examples.test_webtest", *options, cwd=REPOSITORY)
    assert (result.code, result.tests["success"]) == (0, 18)
    assert result.hits == served(shop) == 6 * 7
    assert hits_by_name(result) == {
        ("GET", shop): 12,
        ("GET", f"{shop}cart"): 6,
        ("POST", f"{shop}cart"): 6,
        ("GET", f"{shop}fruits/apple"): 6,
        ("GET", f"{shop}fruits/stone"): 6,
        ("POST", f"{shop}api/price"): 6,
    }
    assert result.summary["counters"] == {"fruits": 36}


def test_in_process_as_load(stage: Stage) -> None:
    result = run(stage, "examples.test_in_process", "-u", 10, "--hits", 5, cwd=REPOSITORY)
    assert (result.code, result.tests["success"], result.hits) == (0, 50, 150)
    assert hits_by_name(result) == {
        ("GET", "/ (in process, no network)"): 50,
        ("POST", "/cart (in process, no network)"): 50,
        ("GET", "/cart (in process, no network)"): 50,
    }


def test_in_process_without_loads() -> None:
    command = [sys.executable, "-m", "unittest", "examples.test_in_process"]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)


def test_plain_webtest_as_load(stage: Stage, shop: str) -> None:
    stage.write(
        "test_plain.py",
        f"""
        import webtest

        app = webtest.TestApp({shop!r})

        def test_shop():
            form = app.get("/").form
            form["fruit"] = "plum"
            form.submit().follow().mustcontain("1-plum")

        def test_that_fails():
            app.get("/fruits/stone")
        """,
    )
    result = run(stage, "test_plain", "-u", 5, "--hits", 4)
    assert (result.code, result.tests["success"], result.tests["errors"]) == (1, 10, 10)
    assert result.hits == served(shop) == 40
    assert hits_by_name(result)["GET", f"{shop}fruits/stone"] == 10
    assert result.summary["hits"]["errors"] == 10
    (failure,) = result.summary["failures"]
    assert (failure["type"], failure["count"]) == ("AppError", 10)
    assert 'app.get("/fruits/stone")' in failure["traceback"]


def test_target_that_is_not_there(stage: Stage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        options = ("--server-url", url, "-u", 2, "--hits", 3)
        result = run(
            stage, "examples.test_webtest.TestFruitShop.test_buy", *options, cwd=REPOSITORY
        )
    assert (result.code, result.tests["errors"], result.hits) == (1, 6, 6)
    assert result.summary["urls"][0]["status"] == {"refused": 6}
    (failure,) = result.summary["failures"]
    assert failure["type"] == "ConnectionError"
    assert 'form = self.app.get("/").form' in failure["traceback"]


def test_bad_server_url(stage: Stage) -> None:
    options = ("--server-url", "127.0.0.1:9000", "-u", 1)
    result = run(stage, "examples.test_webtest.TestFruitShop.test_buy", *options, cwd=REPOSITORY)
    assert result.code == 2
    assert "Did you mean http://127.0.0.1:9000 ?" in result.err
