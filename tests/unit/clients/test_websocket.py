"""Frames, counts and hooks of web socket clients, with nothing but a pair of sockets."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from ws4py.client import WebSocketBaseClient
from ws4py.client.threadedclient import WebSocketClient as ThreadedClient
from ws4py.exc import HandshakeError
from ws4py.framing import Frame
from ws4py.messaging import CloseControlMessage

from loads.clients import websocket_meter
from loads.clients.websocket import (
    MAX_UNREAD,
    WebSocketClient,
    _accepted,
    _guarded,
    create_ws,
)
from loads.clients.websocket_meter import Measured, Meter, _frame
from loads.metrics.tally import COUNTS
from loads.recorder import layout
from loads.recorder.memory import Memory
from loads.recorder.writer import Recorder

CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9


@pytest.fixture
def memory() -> Memory:
    return Memory.create()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        yield ours, theirs


def counts(memory: Memory) -> dict[str, int]:
    cells = {name: memory.cells[layout.COUNTS + i] for i, name in enumerate(COUNTS)}
    return {name[3:]: number for name, number in cells.items() if name.startswith("ws_") and number}


def frame(opcode: int, body: bytes = b"", fin: int = 1, mask: bytes | None = None) -> bytes:
    """As ws4py builds it: the oracle of what is read and written here."""
    return Frame(opcode=opcode, body=body, fin=fin, masking_key=mask).build()


@pytest.fixture
def client(memory: Memory, pair: tuple[socket.socket, socket.socket]) -> Iterator[Any]:
    """An open client, not read by anything."""
    it = WebSocketClient("ws://127.0.0.1:9/ws")
    it.sock.close()
    it.sock = pair[0]
    it._meter = Meter(Recorder(memory), "ws://h/ws")
    yield it
    it.terminate()


def read(client: Any) -> list[tuple[str, bytes]]:
    """What has been received, without waiting."""
    found = []
    while client._messages is not None and not client._messages.empty():
        message = client._messages.get()
        found.append((type(message).__name__, message.data))
    return found


# -- reading ---------------------------------------------------------------------------------------

CONVERSATION = (
    frame(TEXT, b"hello")
    + frame(TEXT)
    + frame(BINARY, b"\x00\xff" * 100)
    + frame(TEXT, "é".encode(), fin=0)
    + frame(PING, b"still there?")
    + frame(CONTINUATION, "è".encode(), fin=0)
    + frame(CONTINUATION, b"!")
    + frame(BINARY, b"x" * 70_000)
    + frame(TEXT, "ünï".encode())
)
SAID = [
    ("TextMessage", b"hello"),
    ("TextMessage", b""),
    ("BinaryMessage", b"\x00\xff" * 100),
    ("TextMessage", "éè!".encode()),
    ("BinaryMessage", b"x" * 70_000),
    ("TextMessage", "ünï".encode()),
]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 128, 1_000, 65_536, 1_000_000])
def test_messages_arrive_whole_however_they_are_cut(client, memory, pair, piece):
    if piece == 1:  # byte by byte, without waiting for the long one
        conversation, said = CONVERSATION.replace(frame(BINARY, b"x" * 70_000), b""), SAID[:]
        del said[4]
    else:
        conversation, said = CONVERSATION, SAID
    for at in range(0, len(conversation), piece):
        assert client._take(conversation[at : at + piece])
    assert read(client) == said
    assert not client.buf
    pong = pair[1].recv(100)
    assert pong[0] == 0x8A
    assert counts(memory) == {
        "opened": 1,
        "messages_received": len(said),
        "bytes_received": sum(len(data) for _, data in said),
    }


def test_a_kept_message_stays_as_it_was(client):
    kept: list[Any] = []
    client._callback = kept.append
    for at in range(0, len(CONVERSATION), 1_000):
        client._take(CONVERSATION[at : at + 1_000])
    assert [(type(m).__name__, m.data) for m in kept] == SAID


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"\xff\xfe"), 1007, id="text that is no UTF-8"),
        pytest.param(frame(TEXT, b"masked", mask=b"1234"), 1002, id="masked by a server"),
        pytest.param(frame(CONTINUATION, b"?"), 1002, id="the end of no message"),
        pytest.param(b"\x83\x00", 1002, id="an opcode that is reserved"),
        pytest.param(b"\xf1\x00", 1002, id="reserved bits"),
        pytest.param(frame(TEXT, b"a", fin=0) + frame(TEXT, b"b"), 1002, id="two at once"),
        pytest.param(
            frame(CLOSE, CloseControlMessage(1001, "bye").data), 1001, id="the server leaves"
        ),
    ],
)
def test_what_ends_the_conversation_is_answered_with_a_code(client, memory, pair, data, code):
    assert not client._take(data)
    answer = pair[1].recv(1_000)
    key, body = answer[2:6], answer[6:]
    plain = bytes(byte ^ key[i % 4] for i, byte in enumerate(body))
    assert answer[0] == 0x88
    assert struct.unpack("!H", plain[:2]) == (code,)
    assert counts(memory)["closed"] == 1
    client.terminate()
    assert counts(memory)["closed"] == 1, "a socket is closed once"
    assert client.receive() is None
    assert client.receive() is None


def test_a_callback_that_raises_ends_it(client, memory):
    def refuse(message: Any) -> None:
        raise AssertionError(f"not {message}")

    client._callback = refuse
    client.buf = frame(TEXT, b"this") + frame(TEXT, b"that")
    client.run()
    assert client.receive() is None
    assert repr(client._error) == "AssertionError('not this')"
    assert counts(memory) == {
        "opened": 1,
        "closed": 1,
        "messages_received": 1,
        "bytes_received": 4,
    }


def test_unread_messages_of_a_callback_do_not_fill_the_memory(client):
    seen: list[Any] = []
    client._callback = seen.append
    for number in range(MAX_UNREAD + 5):
        client._take(frame(TEXT, b"%d" % number))
    assert len(seen) == MAX_UNREAD + 5
    assert str(client.receive()) == "5"
    for _ in range(MAX_UNREAD):  # from now on somebody reads
        client._take(frame(TEXT, b"more"))
    assert client._messages.qsize() == 2 * MAX_UNREAD - 1


def test_waiting_can_be_bounded(client):
    with pytest.raises(TimeoutError, match=r"no message from ws://127.0.0.1:9/ws within 0.01 s"):
        client.receive(timeout=0.01)


# -- sending ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize("size", [0, 1, 4, 125, 126, 65_535, 65_536, 70_001])
def test_frames_are_those_of_ws4py(monkeypatch, accelerated, size):
    if not accelerated:
        monkeypatch.setattr(websocket_meter, "XorMaskerSimple", None)
    payload = bytes(i % 251 for i in range(size))
    monkeypatch.setattr(websocket_meter.os, "urandom", lambda n: b"\x01\x80\xfe\x37"[:n])
    assert _frame(BINARY, payload) == frame(BINARY, payload, mask=b"\x01\x80\xfe\x37")


def chunks(*parts: Any) -> Iterator[Any]:
    yield from parts


@pytest.mark.parametrize(
    ("payload", "binary", "size"),
    [
        pytest.param("hello", False, 5, id="text"),
        pytest.param("é", False, 2, id="text is counted as UTF-8"),
        pytest.param("", False, 0, id="nothing is a message"),
        pytest.param(b"hello", False, 5, id="bytes as text"),
        pytest.param(bytearray(b"\xff\x00"), True, 2, id="binary"),
        pytest.param(chunks("é", "a", "b"), False, 4, id="fragments are one message"),
        pytest.param(chunks(b"only"), True, 4, id="one fragment"),
    ],
)
def test_what_is_sent_is_counted(client, memory, payload, binary, size):
    client.send(payload, binary)
    sent = {"bytes_sent": size} if size else {}
    assert counts(memory) == {"opened": 1, "messages_sent": 1, **sent}


def test_control_frames_are_no_messages(client, memory, pair):
    client.ping("there?")
    assert pair[1].recv(100)[0] == 0x89
    assert counts(memory) == {"opened": 1}


@pytest.mark.parametrize("payload", [object(), 1, None])
def test_what_cannot_be_sent_is_not_counted(client, memory, payload):
    with pytest.raises((ValueError, TypeError, AttributeError)):
        client.send(payload)
    assert counts(memory) == {"opened": 1}


def test_what_was_not_sent_is_not_counted(client, memory, pair):
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(OSError):
        client.send("hello")
    assert counts(memory) == {"opened": 1}


def test_a_round_trip_is_from_the_first_message_sent_to_the_next_that_arrives(monkeypatch):
    now = 0.0
    monkeypatch.setattr(websocket_meter.time, "perf_counter", lambda: now)
    taken: list[tuple[int, int]] = []
    meter = Meter(Recorder(Memory.create()), "ws://h/ws")
    meter._round_trip = lambda us, outcome: taken.append((us, outcome))
    meter.received(1)  # nothing was asked
    for now in (1.0, 2.0):  # noqa: B007
        meter.sending()
    for now in (4.0, 5.0):  # noqa: B007
        meter.received(1)
    now = 6.0
    meter.sending()
    meter.not_sent()
    meter.received(1)
    assert taken == [(3_000_000, 101)]


# -- classes ---------------------------------------------------------------------------------------


class OnlyUrl(WebSocketBaseClient):
    def __init__(self, url):
        super().__init__(url)


class OnlyProtocols(ThreadedClient):
    def __init__(self, url, protocols):
        super().__init__(url, protocols)


class Anything(ThreadedClient):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


@pytest.mark.parametrize(
    ("klass", "taken"),
    [
        (WebSocketClient, ["protocols", "extensions"]),
        (WebSocketBaseClient, ["protocols", "extensions"]),
        (OnlyUrl, []),
        (OnlyProtocols, ["protocols"]),
        (Anything, ["protocols", "extensions"]),
    ],
)
def test_a_class_is_given_what_its_constructor_takes(klass, taken):
    assert _accepted(_guarded(klass), "protocols", "extensions") == taken


def test_a_guarded_class_is_what_it_was():
    guarded = _guarded(Anything)
    assert issubclass(guarded, Anything) and issubclass(guarded, Measured)
    assert guarded.__name__ == "Anything"
    assert _guarded(Anything) is guarded is _guarded(guarded)


@pytest.mark.parametrize("klass", [dict, "Client", lambda url: None])
def test_a_class_that_is_no_client_is_refused(klass):
    with pytest.raises(TypeError, match="klass is a client class of ws4py's"):
        create_ws("ws://127.0.0.1:9/", klass=klass)


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 404", b"HTTP/1.1 101", b"nonsense", b"\x16\x03\x01", b"HTTP/1.1 101 OK"]
)
def test_an_answer_that_opens_nothing_is_a_handshake_error(line):
    """Whatever answers, with or without headers, and nothing is left open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}/"
        # the answer can be written before the question is asked
        import threading

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(10_000)
                peer.sendall(line + b"\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(HandshakeError, match="Invalid response"):
            create_ws(url)
        thread.join()


# -- imports ---------------------------------------------------------------------------------------


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_a_test_without_web_sockets_does_not_pay_for_them():
    assert "[]" in run(
        """
        import sys
        import loads.case
        from loads.clients.instrument import measure
        measure()
        print([name for name in sys.modules if "ws4py" in name or "websocket" in name])
        """
    )


@pytest.mark.parametrize("first", ["loads.clients.websocket", "ws4py.client.geventclient"])
def test_every_client_class_of_a_worker_is_measured_whatever_is_imported_first(first):
    run(
        f"""
        from gevent import monkey
        monkey.patch_all()
        from loads.clients.instrument import measure
        measure()
        measure()
        import {first}
        import ws4py.client, ws4py.client.geventclient, ws4py.client.threadedclient
        from loads.clients.websocket import WebSocketClient
        from loads.clients.websocket_meter import Measured
        for module in (ws4py.client.geventclient, ws4py.client.threadedclient):
            assert issubclass(module.WebSocketClient, Measured)
        assert issubclass(ws4py.client.WebSocketBaseClient, Measured)
        assert WebSocketClient.__mro__.count(Measured) == 1
        """
    )


def test_ws4py_stays_as_it_is_where_nothing_is_measured():
    run(
        """
        import sys
        import loads.clients.websocket, ws4py.client, ws4py.client.threadedclient
        from loads.clients.websocket_meter import Measured
        assert not issubclass(ws4py.client.WebSocketBaseClient, Measured)
        assert not issubclass(ws4py.client.threadedclient.WebSocketClient, Measured)
        assert "gevent" not in sys.modules
        """
    )
