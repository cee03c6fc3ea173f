"""Web sockets against a real server, with threads, with greenlets, and as load."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import unittest
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from ws4py import WS_KEY
from ws4py.client import WebSocketBaseClient
from ws4py.client.geventclient import WebSocketClient as GeventClient
from ws4py.client.threadedclient import WebSocketClient as ThreadedClient
from ws4py.exc import HandshakeError

from loads.case import TestCase
from loads.clients import websocket
from loads.clients.websocket import create_ws, finish
from tests.e2e.stage import Stage

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(shared_stage: Stage) -> str:
    server = shared_stage.start(
        "ws_site", "python", "-m", "examples.ws_server", "--port", 0, cwd=REPOSITORY
    )
    return server.says("The site is at ").split()[-1].rstrip("/")


@pytest.fixture
def url(site: str) -> str:
    return site.replace("http", "ws", 1)


def served(site: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{site}/count") as answer:
        return json.loads(answer.read())


def since(site: str, before: dict[str, int]) -> dict[str, int]:
    """What the server has counted since; it may hear of the last goodbye after its peer is gone."""
    deadline = time.monotonic() + 10
    while True:
        now = {name: number - before[name] for name, number in served(site).items()}
        if now["opened"] == now["closed"] or time.monotonic() > deadline:
            return now


# -- in this process, with threads -----------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    ["hello", "", "grüße 🎈", "x" * 1_000_000, b"", b"\x00\xff", os.urandom(1_000_000)],
    ids=["text", "empty", "unicode", "long", "no bytes", "bytes", "many bytes"],
)
def test_an_echo_is_heard_by_the_callback_and_received(url, said):
    heard: list[Any] = []
    ws = create_ws(f"{url}/ws", callback=heard.append)
    for _ in range(3):
        ws.send(said, binary=isinstance(said, bytes))
    received = [ws.receive(timeout=30) for _ in range(3)]
    finish(ws)
    assert heard == received
    data = said if isinstance(said, bytes) else said.encode()
    assert [m.data for m in received] == [data] * 3
    assert [m.is_binary for m in received] == [isinstance(said, bytes)] * 3
    assert not ws._th.is_alive()
    assert ws.sock is None


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("klass", [None, ThreadedClient])
def test_what_cannot_be_connected_leaves_nothing_open(url, klass):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        before = descriptors()
        with pytest.raises(ConnectionRefusedError):
            create_ws(f"ws://127.0.0.1:{taken.getsockname()[1]}/ws", klass=klass)
        with pytest.raises(HandshakeError, match="404"):
            create_ws(f"{url}/nowhere", klass=klass)
        assert descriptors() == before


def test_a_server_that_closes(url):
    ws = create_ws(f"{url}/ws/close")
    ws.send("bye")
    assert ws.receive(timeout=10) is None
    ws._th.join(10)
    assert ws.terminated
    finish(ws)


class Base(WebSocketBaseClient):
    pass


class OnlyUrl(ThreadedClient):
    def __init__(self, url):
        super().__init__(url)


class Hearing(ThreadedClient):
    def opened(self):
        self.heard: list[bytes] = []

    def received_message(self, message):
        self.heard.append(bytes(message.data))


class OwnQueue(GeventClient):
    pass


@pytest.mark.parametrize("klass", [Base, OnlyUrl, Hearing, OwnQueue, GeventClient])
def test_client_classes_of_the_users_own(url, klass):
    heard: list[str] = []
    ws = create_ws(f"{url}/ws", lambda m: heard.append(str(m)), protocols=["chat"], klass=klass)
    assert isinstance(ws, klass)
    ws.send("hello")
    assert ws.receive().data == b"hello"
    assert heard == ["hello"]
    if klass is Hearing:
        assert ws.heard == [b"hello"]
    finish(ws)
    assert ws.terminated
    assert ws.receive() is None


@contextmanager
def peer(talk: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """A server of one web socket: ``talk`` is given the connection, and how to accept."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            request = connection.recv(10_000).decode()
            key = request.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
            accept = b64encode(sha1(key.encode() + WS_KEY).digest()).decode()
            head = (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            talk(connection, head.encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("klass", [None, Base, ThreadedClient])
def test_frames_that_come_with_the_answer_to_the_handshake_are_not_lost(klass):
    frames = b"\x81\x03one\x81\x03two\x81\x05th"

    def greet(connection: socket.socket, head: bytes) -> None:
        connection.sendall(head + frames)
        connection.sendall(b"ree\x88\x00")
        connection.recv(1_000)

    with peer(greet) as url:
        ws = create_ws(url, klass=klass)
        assert [str(ws.receive(timeout=10)) for _ in range(3)] == ["one", "two", "three"]
        assert ws.receive(timeout=10) is None
        finish(ws)


def test_a_peer_that_does_not_say_goodbye_is_left(monkeypatch):
    monkeypatch.setattr(websocket, "CLOSE_TIME", 0.2)
    silence = threading.Event()

    def say_nothing(connection: socket.socket, head: bytes) -> None:
        connection.sendall(head)
        silence.wait(10)

    with peer(say_nothing) as url:
        ws = create_ws(url)
        start = time.monotonic()
        finish(ws)
        assert 0.2 <= time.monotonic() - start < 1.5
        assert not ws._th.is_alive() and ws.sock is None
        silence.set()


def test_a_callback_that_never_returns_does_not_hold_the_test(url, monkeypatch):
    monkeypatch.setattr(websocket, "CLOSE_TIME", 0.1)
    monkeypatch.setattr(websocket, "HANG_UP_TIME", 0.1)
    called, release = threading.Event(), threading.Event()

    def wait(message: Any) -> None:
        called.set()
        release.wait(10)

    ws = create_ws(f"{url}/ws", callback=wait)
    ws.send("hello")
    assert called.wait(10)
    finish(ws)
    assert ws.sock is None
    release.set()
    ws._th.join(10)


def test_closing_twice_is_no_error(url):
    ws = create_ws(f"{url}/ws/silent")
    ws.close()
    finish(ws)
    finish(ws)


# -- what callbacks raise, in both kinds of process ------------------------------------------------

TESTS = """
import json, sys, unittest
if sys.argv[2] == "greenlets":
    from gevent import monkey
    monkey.patch_all()
from ws4py.client.geventclient import WebSocketClient as Gevent
from ws4py.client.threadedclient import WebSocketClient as Threaded
from loads.case import TestCase

URL = sys.argv[1]


class Bad(Threaded):
    def opened(self):
        raise KeyError("opened")


class Worse(Threaded):
    def closed(self, code, reason=None):
        raise OSError("closed")


class TestCallbacks(TestCase):
    def talk(self, callback=None, klass=None):
        ws = self.create_ws(URL + "/ws", callback=callback, klass=klass)
        ws.send("hello")
        return ws.receive()

    def test_passes(self):
        self.assertEqual(self.talk(lambda message: None).data, b"hello")

    def test_fails(self):
        self.assertIsNone(self.talk(lambda message: self.assertTrue(message.is_binary)))

    def test_errs(self):
        self.assertIsNone(self.talk(lambda message: 1 / 0))

    def test_skips(self):
        def skip(message):
            self.skipTest("no need")
        self.assertIsNone(self.talk(skip))

    def test_opened(self):
        self.create_ws(URL + "/ws", klass=Bad)._th.join()

    def test_closed(self):
        self.assertEqual(self.talk(klass=Worse).data, b"hello")

    def test_two(self):
        self.talk(lambda message: 1 / 0)
        self.talk(lambda message: {}["nothing"])

    def test_body(self):
        self.talk()
        self.fail("of the body")

    def test_gevent(self):
        self.assertIsNone(self.talk(lambda message: 1 / 0, klass=Gevent))


result = unittest.TestResult()
unittest.defaultTestLoader.loadTestsFromTestCase(TestCallbacks).run(result)
assert result.testsRun == 9
found = [("error", *pair) for pair in result.errors] + [("failure", *p) for p in result.failures]
found += [("skip", *pair) for pair in result.skipped]
print(json.dumps(sorted(
    (kind, test.id().rpartition("_")[2], text.strip().splitlines()[-1])
    for kind, test, text in found
)))
assert all("in <lambda>" in text for _, test, text in found if "errs" in test.id())
"""


@pytest.mark.parametrize("kind", ["threads", "greenlets"])
def test_what_a_callback_raises_is_the_tests(url, stage, kind):
    stage.write("callbacks.py", TESTS)
    process = stage.start("callbacks", "python", "callbacks.py", url, kind)
    assert process.wait() == 0, process.err
    assert process.err == ""
    assert json.loads(process.out) == [
        ["error", "closed", "OSError: closed"],
        ["error", "errs", "ZeroDivisionError: division by zero"],
        ["error", "gevent", "ZeroDivisionError: division by zero"],
        ["error", "opened", "KeyError: 'opened'"],
        ["error", "two", "KeyError: 'nothing'"],
        ["error", "two", "ZeroDivisionError: division by zero"],
        ["failure", "body", "AssertionError: of the body"],
        ["failure", "fails", "AssertionError: False is not true"],
        ["skip", "skips", "no need"],
    ]


def test_a_test_case_closes_its_sockets(url):
    sockets: list[Any] = []

    class Leaves(TestCase):
        def test(self) -> None:
            sockets.extend(self.create_ws(f"{url}/ws/silent") for _ in range(5))

    result = unittest.TestResult()
    Leaves("test").run(result)
    assert result.wasSuccessful()
    assert [ws.sock for ws in sockets] == [None] * 5


@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all(); "])
def test_the_examples_run_under_unittest(site, stage, patch):
    code = (
        f"{patch}import unittest, examples.test_websocket as tests; "
        f"tests.TestChat.server_url = {site!r}; unittest.main(tests)"
    )
    process = stage.start("examples", "python", "-c", code, cwd=REPOSITORY)
    assert process.wait() == 0, process.err
    assert process.err.splitlines()[-1] == "OK"


# -- as load ---------------------------------------------------------------------------------------


def load(stage: Stage, site: str, target: str, *options: object, cwd: Path | None = None) -> Any:
    """Run; gives the summary's account of web sockets, the rest of it, and the server's account."""
    before = served(site)
    process = stage.start(
        *("run", "loads-runner", target, *options, "--server-url", site),
        *("--output", "json", "--output-json-filename", stage.root / "summary.json"),
        cwd=cwd,
    )
    process.wait(60)
    summary = json.loads((stage.root / "summary.json").read_text())
    return summary["websockets"], summary, since(site, before)


def test_the_examples_as_load_are_counted_as_the_server_counts(site, stage):
    ours, summary, theirs = load(
        stage, site, "examples.test_websocket", "-u", 20, "--hits", 5, cwd=REPOSITORY
    )
    assert summary["tests"]["success"] == summary["tests"]["finished"] == 100
    assert summary["exit_code"] == 0
    assert ours["opened"] == ours["closed"] == theirs["opened"] == theirs["closed"] == 100
    assert ours["messages_sent"] == theirs["messages"]
    assert ours["bytes_sent"] == theirs["bytes"]
    # each of the five tests was called by each of the users, and /ws/close alone does not echo
    assert ours["messages_sent"] == 20 * (2 + 3 + 1 + 1 + 1)
    assert ours["messages_received"] == 20 * (2 + 3 + 0 + 1 + 1)
    assert ours["bytes_received"] == theirs["bytes"] - 20 * len("bye")
    assert ours["connect"]["count"] == 100 and ours["failed"] == 0
    assert summary["counters"] == {"heard": 60}


MIXED = """
import unittest
from loads.case import TestCase
from ws4py.client import WebSocketBaseClient
from ws4py.client.geventclient import WebSocketClient

class TestPlain(unittest.TestCase):
    url = None

    def test_gevent(self):
        from loads.case import Settings
        url = Settings.server_url.replace("http", "ws")
        ws = WebSocketClient(url + "/ws")
        ws.connect()
        for size in (0, 1, 1000, 70000):
            ws.send("é" * size)
            assert len(ws.receive().data) == 2 * size
        ws.ping("not counted")
        ws.send(chunk for chunk in ("ab", "cd"))
        assert ws.receive().data == b"abcd"
        ws.close()

class TestFails(TestCase):
    def test_refused(self):
        self.create_ws(self.server_url.replace("http", "ws") + "/nowhere")
"""


def test_plain_clients_are_measured_to_the_byte(site, stage):
    stage.write("test_plain.py", MIXED)
    ours, summary, theirs = load(
        stage, site, "test_plain.TestPlain.test_gevent", "-u", 10, "--hits", 4
    )
    assert summary["exit_code"] == 0, summary["failures"]
    size = 2 * 71_001 + 4
    assert theirs == {"hits": 0, "opened": 40, "closed": 40, "messages": 200, "bytes": 40 * size}
    assert {name: ours[name] for name in list(ours)[:6]} == {
        "opened": 40,
        "closed": 40,
        "messages_sent": 200,
        "messages_received": 200,
        "bytes_sent": 40 * size,
        "bytes_received": 40 * size,
    }
    assert ours["connect"]["count"] == 40
    assert ours["round_trip"]["count"] == 200
    assert 0 < ours["round_trip"]["min"] <= ours["round_trip"]["max"] < 30


def test_refused_handshakes_are_counted_apart(site, stage):
    stage.write("test_plain.py", MIXED)
    target = "test_plain.TestFails.test_refused"
    ours, summary, theirs = load(stage, site, target, "-u", 3, "--hits", 2)
    assert summary["tests"]["errors"] == 6 and theirs["opened"] == 0
    assert (ours["opened"], ours["failed"], ours["connect"]["count"]) == (0, 6, 6)
    assert summary["failures"][0]["type"] == "HandshakeError"


def test_sockets_that_the_run_cuts_are_closed_and_counted(site, stage):
    stage.write(
        "test_waits.py",
        """
        from loads.case import TestCase

        class TestWaits(TestCase):
            def test(self):
                self.create_ws(self.server_url.replace("http", "ws") + "/ws/silent").receive()
        """,
    )
    options = ("-u", 10, "-d", 1, "--grace", 0)
    ours, summary, theirs = load(stage, site, "test_waits.TestWaits.test", *options)
    assert summary["tests"]["cut"] == 10
    assert ours["opened"] == ours["closed"] == theirs["opened"] == theirs["closed"] == 10


def test_this_module_is_run_without_gevent_patches():
    monkey = sys.modules.get("gevent.monkey")
    assert monkey is None or not monkey.is_module_patched("socket")
