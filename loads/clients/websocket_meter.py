"""Measures ws4py's clients, and makes thousands of them fit in one process.

:class:`Measured` goes in front of a ws4py client class.  A worker has :func:`measure` put it in
front of ``WebSocketBaseClient`` as ``ws4py.client`` is imported, so that every client class that a
test then derives or imports has it.

What is counted: a socket is open once its handshake succeeded, and closed, once, when either side
closes it or the connection is gone.  Messages are data messages, whole ones, and their bytes those
of their payloads.  A round trip lasts from a message sent, when no earlier one waits for an answer,
to the next message that arrives.

The socket is read in large pieces, and whole unfragmented data frames (RFC 6455, 5.2) are taken out
of them here.  All else is fed to ws4py's parser, which asks for one byte, then another, then the
payload: three system calls for each message, and 1.5 KB for each socket.
"""

from __future__ import annotations

import os
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from socket import gaierror
from types import GeneratorType, ModuleType
from typing import TYPE_CHECKING, Any

from ws4py.exc import HandshakeError
from ws4py.messaging import BinaryMessage, Message, TextMessage
from ws4py.websocket import Heartbeat, pyOpenSSLError

from loads.clients.hits import Choices
from loads.metrics.series import WEBSOCKET, WS_CONNECT, WS_ROUND_TRIP, NoAnswer, SeriesKey
from loads.recorder.current import current

if TYPE_CHECKING:
    from ws4py.client import WebSocketBaseClient as _Client

    from loads.recorder.writer import Recorder
else:
    _Client = object

SWITCHED = 101  #: the outcome of what went well, after HTTP's "Switching Protocols"

CONNECT_TIME = (
    30.0  #: seconds that each step of connecting may take, unless a client says otherwise
)

_PIECE = 1 << 16  #: bytes read at once; at least a TLS record, so that none waits unread in OpenSSL
_TEXT, _BINARY, _FIN, _MASK = 0x1, 0x2, 0x80, 0x80
_WHOLE = {_FIN | _TEXT: TextMessage, _FIN | _BINARY: BinaryMessage}
_NO_HEARTBEAT: nullcontext[None] = nullcontext()

try:
    import wsaccel  # type: ignore[import-untyped, import-not-found, unused-ignore]
    from wsaccel.xormask import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
        XorMaskerSimple,
    )
except ImportError:
    XorMaskerSimple = None


def measure(module: ModuleType) -> None:
    """Have all clients measured that from now on are made of what ``module``, ws4py.client, has."""
    module.WebSocketBaseClient = measured(module.WebSocketBaseClient)  # type: ignore[attr-defined]
    if XorMaskerSimple is not None:  # for the frames that are left to ws4py
        wsaccel.patch_ws4py()


def measured(klass: type[Any]) -> type[Any]:
    """``klass`` with :class:`Measured` in front, if it is not there already."""
    if issubclass(klass, Measured):
        return klass
    return type(klass.__name__, (Measured, klass), {"__module__": klass.__module__})


class Meter:
    """What is measured of one socket.  It keeps what it records to: a record is no look-up."""

    __slots__ = ("_count", "_name", "_open", "_recorder", "_round_trip", "_sent_at")

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._count = recorder.count
        self._name = name
        self._round_trip: Callable[[int, int], None] | None = None
        self._sent_at = 0.0  # no message waits for an answer
        self._open = True
        self._count("ws_opened")

    def sending(self) -> None:
        """A message is about to be sent: before it is, as the answer may come at once."""
        self._sent_at = self._sent_at or time.perf_counter()

    def not_sent(self) -> None:
        """The message could not be sent."""
        self._sent_at = 0.0

    def sent(self, size: int) -> None:
        """A message of ``size`` bytes was sent."""
        self._count("ws_messages_sent")
        self._count("ws_bytes_sent", size)

    def received(self, size: int) -> None:
        """A message of ``size`` bytes arrived."""
        self._count("ws_messages_received")
        self._count("ws_bytes_received", size)
        if self._sent_at:
            taken, self._sent_at = time.perf_counter() - self._sent_at, 0.0
            if self._round_trip is None:
                key = SeriesKey(WEBSOCKET, self._name, WS_ROUND_TRIP)
                self._round_trip = self._recorder.series(key).record
            self._round_trip(int(taken * 1e6), SWITCHED)

    def closed(self) -> None:
        """The socket was closed, by whomever; counted the first time."""
        if self._open:
            self._open = False
            self._count("ws_closed")


class Measured(_Client):  # type: ignore[misc, unused-ignore]
    """Goes in front of a ws4py client class, and measures it.  Else it behaves as that does."""

    _meter: Meter | None = None
    _status = 0  #: the HTTP status of the answer to the handshake
    buf: bytes | bytearray  #: the beginning of a frame of which the rest is still to come

    # -- connecting --------------------------------------------------------------------------------

    def connect(self) -> None:
        """As ws4py's, but no frame is lost that arrives together with the answer.

        ws4py starts the reader and then parses beside it, as if it were one frame, what came behind
        the headers.  Here the reader finds it in its buffer.
        Raises ``OSError`` when there is no connection, ``TimeoutError`` when a peer is silent for
        30 seconds, and ws4py's ``HandshakeError`` when what answers does not open a web socket.
        """
        recorder, name = current(), Choices.name(self.url)
        record = recorder.series(SeriesKey(WEBSOCKET, name, WS_CONNECT)).record
        early: list[bytes] = []
        outcome = int(NoAnswer.CUT)
        self.handshake_ok, self.process = _nothing, early.append
        if self.sock.gettimeout() is None:  # the reader sets it back
            self.sock.settimeout(CONNECT_TIME)
        start = time.perf_counter()
        try:
            super().connect()
            outcome = SWITCHED
        except Exception as error:
            outcome = self._status if self._status > SWITCHED else _no_answer(error)
            if isinstance(error, ValueError) and not isinstance(error, OSError):
                raise HandshakeError(f"Invalid response: {error}") from error
            raise
        finally:
            record(int((time.perf_counter() - start) * 1e6), outcome)
            recorder.touch(time.monotonic())
            del self.handshake_ok, self.process
        self.buf = b"".join(early)
        self._meter = Meter(recorder, name)
        self.handshake_ok()

    def process_response_line(self, response_line: bytes) -> None:
        """As ws4py's; a refused handshake is recorded under its status."""
        status = response_line.split(b" ")[1:2]
        self._status = int(status[0]) if status and status[0].isdigit() else 0
        super().process_response_line(response_line)

    # -- sending -----------------------------------------------------------------------------------

    def send(self, payload: Any, binary: bool = False) -> None:
        """As ws4py's."""
        meter = self._meter
        control = isinstance(payload, Message) and payload.opcode not in (_TEXT, _BINARY)
        if meter is None or control:
            super().send(payload, binary)
            return
        meter.sending()
        try:
            size = self._send(payload, binary)
        except BaseException:
            meter.not_sent()
            raise
        meter.sent(size)

    def _send(self, payload: Any, binary: bool) -> int:
        """Send one data message; gives the bytes of its payload."""
        if isinstance(payload, str) and not binary:
            payload = payload.encode()
        if isinstance(payload, bytes | bytearray):
            self._write(_frame(_BINARY if binary else _TEXT, bytes(payload)))
            return len(payload)
        if isinstance(payload, GeneratorType):
            sizes: list[int] = []
            super().send(_sized(payload, sizes), binary)
            return sum(sizes)
        super().send(payload, binary)
        return len(payload.data)

    # -- receiving ---------------------------------------------------------------------------------

    def run(self) -> None:
        """As ws4py's, without the thread for heartbeats where there are none."""
        frequency = self.heartbeat_freq
        if self.sock is not None:
            self.sock.setblocking(True)
        with Heartbeat(self, frequency=frequency) if frequency else _NO_HEARTBEAT:
            try:
                self.opened()
                alive = not self.buf or self._take(b"")
                while alive and not self.terminated:
                    alive = self.once()
            finally:
                self.terminate()

    def once(self) -> bool:
        """Read what there is and deal with it; False when that was the last of it."""
        if self.terminated or self.sock is None:
            return False
        try:
            data = self.sock.recv(_PIECE)
        except (OSError, pyOpenSSLError) as error:
            if self.sock is not None and not self.client_terminated:  # else it is our own doing
                self.unhandled_error(error)
            return False
        return bool(data) and self._take(data)

    def _take(self, data: bytes | bytearray) -> bool:
        """Deal with all the whole frames of what was read, and keep the rest for later."""
        if self.buf:
            kept = self.buf if isinstance(self.buf, bytearray) else bytearray(self.buf)
            kept += data
            data = kept
        self.buf = b""
        at, end = 0, len(data)
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            start, size = at + 2, second & 0x7F
            if size >= 126:  # the length follows, in 2 or 8 bytes
                start += 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2 : start], "big")
            if second & _MASK:
                start += 4
            stop = start + size
            if end < stop:
                break
            if first in _WHOLE and not second & _MASK and self.stream.message is None:
                alive = self._take_message(first, data[start:stop])
            else:
                alive = self._take_frame(first, data[at:stop], size)
            at = stop
            if not alive or self.stream is None:
                return False
        if at < end:
            self.buf = bytearray(data[at:])
        return True

    def _take_message(self, first: int, data: bytes | bytearray) -> bool:
        """Deal with a message that is one frame."""
        payload = bytes(data)
        if first == _FIN | _TEXT and not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                self.close(1007, "Invalid UTF-8 bytes")
                return False
        message = _WHOLE[first](payload)
        message.completed = True
        if self._meter is not None:
            self._meter.received(len(payload))
        self.received_message(message)
        return True

    def _take_frame(self, first: int, frame: bytes | bytearray, size: int) -> bool:
        """Have ws4py deal with part of a message, a control frame, or an error."""
        message = self.stream.message
        if first == _FIN and message is not None and self._meter is not None:  # its last part
            self._meter.received(len(message.data) + size)
        return bool(self.process(bytes(frame)))

    # -- closing -----------------------------------------------------------------------------------

    def close(self, code: int = 1000, reason: str | bytes = "") -> None:
        """As ws4py's."""
        if self._meter is not None:
            self._meter.closed()
        super().close(code, reason)

    def close_connection(self) -> None:
        """As ws4py's, which leaves the socket open when its peer has already gone."""
        if self._meter is not None:
            self._meter.closed()
        sock = self.sock
        super().close_connection()
        if sock is not None:
            sock.close()

    def terminate(self) -> None:
        """As ws4py's, but it may be repeated."""
        if self.stream is not None:
            super().terminate()


def _nothing() -> None:
    """Instead of starting the reader, which has to wait."""


def _no_answer(error: Exception) -> NoAnswer:
    for kind, outcome in (
        (gaierror, NoAnswer.DNS),
        (ssl.SSLError, NoAnswer.TLS),
        (TimeoutError, NoAnswer.TIMED_OUT),
        (ConnectionRefusedError, NoAnswer.REFUSED),
        (ConnectionError, NoAnswer.RESET),
    ):
        if isinstance(error, kind):
            return outcome
    return NoAnswer.OTHER


def _sized(chunks: Iterator[str | bytes], sizes: list[int]) -> Iterator[str | bytes]:
    for chunk in chunks:
        sizes.append(len(chunk.encode() if isinstance(chunk, str) else chunk))
        yield chunk


def _frame(opcode: int, payload: bytes) -> bytes:
    """A whole message as one frame, masked as a client's must be (RFC 6455, 5.3)."""
    size = len(payload)
    if size < 126:
        head = bytes((_FIN | opcode, _MASK | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", _FIN | opcode, _MASK | 126, size)
    else:
        head = struct.pack("!BBQ", _FIN | opcode, _MASK | 127, size)
    key = os.urandom(4)
    if XorMaskerSimple is not None:
        return head + key + bytes(XorMaskerSimple(key).process(payload))
    # As whole numbers: 5 ms for a megabyte, where byte by byte takes 100.
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
    return head + key + masked
