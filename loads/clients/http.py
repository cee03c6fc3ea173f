"""HTTP/1.1 connections for greenlets: what a request costs beyond its bytes, and little else.

Three things make them fast.  A connection waits until there is something to read and then reads,
instead of reading, failing with EAGAIN and waiting: that exception would cost more than all the
rest.  Its watcher stays on between two requests, which saves telling the kernel each time.  And the
bytes are parsed by llhttp, whose parser is kept with the connection.

Errors are those of Requests, so that nobody has to know who opened the connection.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from _socket import socket as RawSocket
from http.client import RemoteDisconnected, responses
from typing import Any, NamedTuple

import certifi
import gevent
import httptools
from gevent import monkey
from requests import exceptions
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from loads.metrics.series import CONNECTION, SeriesKey, Verdict
from loads.recorder.current import current

monotonic = time.monotonic
READ_SIZE = 1 << 16
READ, WRITE = 1, 2
_TOO_LATE = object()

_getcurrent = gevent.getcurrent
_poll = monkey.get_original("select", "poll")


class Origin(NamedTuple):
    """Whom a connection is to.  ``verify`` is as Requests takes it."""

    scheme: str
    host: str
    port: int
    verify: bool | str = True


class Answer:
    """One answer as it arrived; ``headers`` are pairs of bytes, ``body`` is not decoded.

    ``sent_at`` and ``answered_at`` are when the request had been sent and when the headers were
    complete, on the monotonic clock; ``setup`` is how many seconds went into opening the
    connection.
    """

    __slots__ = (
        "answered_at", "body", "chunks", "first", "headers", "headers_done", "keep_alive",
        "sent_at", "setup", "status",
    )  # fmt: skip

    status: int
    keep_alive: bool
    sent_at: float
    answered_at: float
    setup: float

    @property
    def reason(self) -> str:
        """The reason phrase, or the usual one where it did not come with the first bytes."""
        line, ended, _ = self.first.partition(b"\r\n")
        parts = line.split(b" ", 2)
        if ended and len(parts) == 3 and parts[1] == b"%d" % self.status:
            return parts[2].decode("latin-1")
        return responses.get(self.status, "") if not ended else ""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self.body = b""
        self.headers_done = False
        self.first = b""


class _Wake:
    """What the hub calls, again and again, while there is something to read.

    It knows nothing of its connection, or the hub would keep alive what everybody else has
    forgotten.
    """

    __slots__ = ("_watcher", "greenlet")

    def __init__(self, watcher: Any) -> None:
        self._watcher = watcher
        self.greenlet: Any = None  # the one that waits

    def __call__(self) -> None:
        if self.greenlet is None:
            self._watcher.stop()  # nobody reads: it was closed, or said something unasked
        else:
            self.greenlet.switch()


class Connection:
    """One connection to one origin.  Serves one request at a time."""

    def __init__(self, origin: Origin, timeout: float | None) -> None:
        """Open it, within ``timeout`` seconds.  Raises ``requests`` connection errors."""
        self._hub = gevent.get_hub()
        self._peer = f"{origin.scheme}://{origin.host}:{origin.port}"
        self.setup = 0.0
        self._open(origin, timeout)
        self._watcher = self._hub.loop.io(self._fd, READ)
        self._wake = _Wake(self._watcher)
        poll = _poll()
        poll.register(self._fd, select.POLLIN)
        self._poll = poll.poll
        self._parser = httptools.HttpResponseParser(self)
        self._answer = Answer()
        self._complete = False

    # -- opening and closing -----------------------------------------------------------------

    def _open(self, origin: Origin, timeout: float | None) -> None:
        start = time.perf_counter()
        try:
            self._socket: Any = _connect(origin, timeout)
            if origin.scheme == "https":
                self._socket = _secure(self._socket, origin)
        except TimeoutError as error:
            raise exceptions.ConnectTimeout(
                f"Connection to {origin.host}:{origin.port} timed out. (connect timeout={timeout})"
            ) from error
        except ssl.SSLError as error:
            raise exceptions.SSLError(f"{origin.host}:{origin.port}: {error}") from error
        except socket.gaierror as error:
            raise exceptions.ConnectionError(
                f"NameResolutionError: Failed to resolve {origin.host!r} ({error})"
            ) from error
        except OSError as error:
            raise exceptions.ConnectionError(f"{origin.host}:{origin.port}: {error}") from error
        if origin.scheme == "http":
            # the plain socket underneath: gevent's would first read, fail, and then wait
            self._socket = _bare(self._socket)
        else:
            self._socket.settimeout(None)
        self._fd = self._socket.fileno()
        self.setup = time.perf_counter() - start

    def close(self) -> None:
        """Close it."""
        self._watcher.stop()
        self._watcher.close()
        self._socket.close()

    def __del__(self) -> None:
        # sessions that nobody closes are let go of, as Requests does with its connections
        if hasattr(self, "_wake"):
            self.close()

    def looks_closed(self) -> bool:
        """Whether the server has closed it meanwhile: something is there to read, unasked.

        Asked before each reuse, as urllib3 does: a request that is sent into a closed connection
        could not be told from one that the server took and dropped, and sending it again would
        have the target count twice what we count once.
        """
        return bool(self._poll(0))

    # -- one exchange ------------------------------------------------------------------------

    def exchange(self, request: bytes, timeout: float | None) -> Answer:
        """Send a request and read its answer; ``timeout`` is for each wait, in seconds.

        Raises ``requests`` errors; after one, the connection is of no more use.
        """
        answer = self._answer = Answer()
        self._complete = False
        try:
            self._send(request)
            answer.sent_at = monotonic()
            self._read(answer, timeout)
        except exceptions.RequestException:
            raise  # it is an OSError, too
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if "Content-Length" in str(error):
                raise exceptions.InvalidHeader(str(error)) from error
            raise exceptions.ConnectionError(ProtocolError("Connection aborted.", error)) from error
        except OSError as error:
            raise exceptions.ConnectionError(ProtocolError("Connection aborted.", error)) from error
        answer.setup, self.setup = self.setup, 0.0
        answer.body = answer.chunks[0] if len(answer.chunks) == 1 else b"".join(answer.chunks)
        return answer

    def _send(self, data: bytes) -> None:
        send = self._socket.send
        try:
            sent = send(data)
        except BlockingIOError:
            sent = 0
        while sent < len(data):
            self._wait_to_write()
            try:
                sent += send(memoryview(data)[sent:])
            except BlockingIOError:
                continue

    def _read(self, answer: Answer, timeout: float | None) -> None:
        receive, feed = self._receive, self._parser.feed_data
        while not self._complete:
            data = receive(timeout)
            if not data:
                self._at_end(answer)
                return
            if not answer.first:
                answer.first = data
            feed(data)

    def _receive(self, timeout: float | None) -> bytes:
        """Wait until there is something, then read it."""
        if not self._watcher.active:
            self._watcher.start(self._wake)
        self._wake.greenlet = _getcurrent()
        try:
            if timeout is None:
                self._hub.switch()
            else:
                self._wait_within(timeout)
        finally:
            self._wake.greenlet = None
        data: bytes = self._socket.recv(READ_SIZE)
        return data

    def _at_end(self, answer: Answer) -> None:
        """The server closed the connection: the end of some answers, the lack of others."""
        names = {name.lower() for name, _ in answer.headers}
        if answer.headers_done and not names & {b"content-length", b"transfer-encoding"}:
            answer.keep_alive = False
        elif answer.headers_done or answer.first:
            raise exceptions.ChunkedEncodingError("Connection broken: incomplete answer")
        else:
            reason = RemoteDisconnected("Remote end closed connection without response")
            raise exceptions.ConnectionError(ProtocolError("Connection aborted.", reason))

    # -- waiting -----------------------------------------------------------------------------

    def _wait_within(self, seconds: float) -> None:
        timer = self._hub.loop.timer(seconds)
        timer.start(_getcurrent().switch, _TOO_LATE)
        try:
            late = self._hub.switch() is _TOO_LATE
        finally:
            timer.stop()
            timer.close()
        if late:
            raise self._timed_out(seconds)

    def _timed_out(self, seconds: float | None) -> exceptions.ReadTimeout:
        reason = f"Read timed out. (read timeout={seconds})"
        # wrapped as Requests does it: tests look into these
        return exceptions.ReadTimeout(ReadTimeoutError(self._peer, "", reason))  # type: ignore[arg-type]

    def _wait_to_write(self) -> None:
        watcher = self._hub.loop.io(self._fd, WRITE)
        watcher.start(_getcurrent().switch)
        try:
            self._hub.switch()
        finally:
            watcher.stop()
            watcher.close()

    # -- what the parser calls ---------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        answer = self._answer
        answer.status = self._parser.get_status_code()
        answer.answered_at = monotonic()
        answer.headers_done = answer.status >= 200  # what comes before is not yet the answer
        if answer.status < 200:
            answer.headers, answer.first = [], b""

    def on_body(self, data: bytes) -> None:
        self._answer.chunks.append(data)

    def on_message_complete(self) -> None:
        if self._answer.headers_done:
            self._answer.keep_alive = self._parser.should_keep_alive()
            self._complete = True


class SecureConnection(Connection):
    """A connection with TLS, which gevent's own sockets wait for: they know what TLS holds back."""

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _receive(self, timeout: float | None) -> bytes:
        self._socket.settimeout(timeout)
        try:
            data: bytes = self._socket.recv(READ_SIZE)
            return data
        except TimeoutError:
            raise self._timed_out(timeout) from None


def open_connection(origin: Origin, timeout: float | None) -> Connection:
    """Connect to an origin.  Raises ``requests`` connection errors."""
    kind = SecureConnection if origin.scheme == "https" else Connection
    return kind(origin, timeout)


def _connect(origin: Origin, timeout: float | None) -> socket.socket:
    """A connected socket, and the time that it took recorded."""
    start, verdict = time.perf_counter(), Verdict.ERROR
    addresses = socket.getaddrinfo(origin.host, origin.port, 0, socket.SOCK_STREAM)
    looked_up = time.perf_counter()
    try:
        connected = _connect_to_any(addresses, timeout)
        verdict = Verdict.SUCCESS
        return connected
    finally:
        taken = time.perf_counter() - max(start, looked_up)
        peer = f"{origin.host}:{origin.port}"
        record = current().series(SeriesKey(CONNECTION, peer, "connect")).record
        record(int(taken * 1e6), verdict)


def _connect_to_any(addresses: list[Any], timeout: float | None) -> socket.socket:
    last: OSError = OSError("getaddrinfo found no address")
    for family, kind, protocol, _, address in addresses:
        candidate = socket.socket(family, kind, protocol)
        try:
            candidate.settimeout(timeout)
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            candidate.connect(address)
            return candidate
        except OSError as error:
            last = error
            candidate.close()
        except BaseException:  # the greenlet is cut
            candidate.close()
            raise
    raise last


def _bare(connected: socket.socket) -> RawSocket:
    """The operating system's socket without gevent's wrapping, not blocking."""
    fd = connected.detach()
    bare = RawSocket(fileno=fd)
    bare.setblocking(False)
    return bare


_contexts: dict[bool | str, ssl.SSLContext] = {}


def _secure(plain: socket.socket, origin: Origin) -> Any:
    """TLS on a connected socket, and the time that it took recorded."""
    context = _contexts.get(origin.verify)
    if context is None:
        context = _contexts[origin.verify] = _context(origin.verify)
    start, verdict = time.perf_counter(), Verdict.ERROR
    try:
        secured = context.wrap_socket(plain, server_hostname=origin.host)
        verdict = Verdict.SUCCESS
        return secured
    except BaseException:
        plain.close()
        raise
    finally:
        record = current().series(SeriesKey(CONNECTION, origin.host, "tls")).record
        record(int((time.perf_counter() - start) * 1e6), verdict)


def _context(verify: bool | str) -> ssl.SSLContext:
    """What Requests verifies with: its own bundle, another file or directory, or nothing."""
    context = create_urllib3_context()
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    bundle = certifi.where() if verify is True else verify
    if os.path.isdir(bundle):
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(bundle)
    return context
