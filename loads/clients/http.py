"""HTTP/1.1 connections for greenlets: what a request costs beyond its bytes, and little else.

Four things make them fast.  A connection waits until there is something to read and then reads,
instead of reading, failing with EAGAIN and waiting: that exception would cost more than all the
rest.  Its watcher stays on between two requests, which saves telling the kernel each time; so
does its timer, which is not set anew but looks, when it rings, whether it is time.  And heads that
came before are known (:mod:`loads.clients.heads`), others parsed by llhttp, whose parser is kept
with the connection.

Errors are those of Requests, so that nobody has to know who opened the connection.
"""

from __future__ import annotations

import select
import ssl
from http.client import RemoteDisconnected
from time import monotonic
from typing import Any

import gevent
import greenlet
import httptools
from gevent import monkey
from gevent.exceptions import BlockingSwitchOutError
from requests import exceptions
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from loads.clients.answers import Answer
from loads.clients.connect import Origin, open_socket
from loads.clients.heads import Head, known, remember

READ_SIZE = 1 << 16
INSTANT = 0.0002  #: seconds after an answer
ENOUGH = 1_000  #: connections that were still open then, after which a server is believed
NEVER = -(1 << 60)
MAX_EQUAL = 1_024  #: bytes of answers that are kept to be compared with the next
READ, WRITE = 1, 2
_TOO_LATE = object()

_getcurrent = greenlet.getcurrent
_poll = monkey.get_original("select", "poll")

#: Knows whether the server has closed any of this process's connections.  To ask for all of them at
#: once, when there is nothing to tell, takes a third of the time that a ``poll`` of one takes.
_closures = monkey.get_original("select", "epoll")()


class LastAnswer:
    """An answer as it came, and what it says: what is the same once more need not be read again."""

    __slots__ = ("answer", "body", "head")

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.head: Head
        self.body: bytes


class _Wake:
    """What the hub calls, again and again, while there is something to read.

    It knows nothing of its connection, or the hub would keep alive what everybody else has
    forgotten.
    """

    __slots__ = ("_loop", "_timer", "_watcher", "deadline", "greenlet", "stopped")

    def __init__(self, hub: Any, fd: int) -> None:
        self._loop = hub.loop
        self._watcher = hub.loop.io(fd, READ)
        self._timer: Any = None
        self.greenlet: Any = None  #: the one that waits
        self.stopped = True
        self.deadline = 0.0  #: when the timer rings next

    def start(self) -> None:
        """Have the hub call from now on."""
        self._watcher.start(self._wake)
        self.stopped = False

    def _wake(self) -> None:
        if self.greenlet is None:
            self._watcher.stop()  # nobody reads: it was closed, or said something unasked
            self.stopped = True
        else:
            self.greenlet.switch()

    def ring_at(self, deadline: float) -> None:
        """Have whoever waits then switched to with ``_TOO_LATE``."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self.deadline = deadline
        self._timer = self._loop.timer(max(0.0, deadline - monotonic()))
        self._timer.start(self._ring)

    def _ring(self) -> None:
        if self.greenlet is None:
            self.deadline = 0.0
        else:
            self.greenlet.switch(_TOO_LATE)

    def close(self) -> None:
        """Call no more."""
        self._watcher.stop()
        self._watcher.close()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()


class Connection:
    """One connection to one origin.  Serves one request at a time.

    What it has to say about the last one: ``head``; ``sent_at``, ``answered_at`` and ``ended_at``,
    when the request had been sent, the answer's headers were there, and all of it, on the
    monotonic clock.
    """

    __slots__ = (
        "_pause", "_receive", "_send", "_socket", "_wake", "_watched", "answered_at", "ended_at",
        "head", "origin", "sent_at",
    )  # fmt: skip

    def __init__(self, origin: Origin, timeout: float | None) -> None:
        """Open it, within ``timeout`` seconds.  Raises ``requests`` connection errors."""
        hub = gevent.get_hub()
        self.origin = origin
        self._use(open_socket(origin, timeout))
        fd = self._socket.fileno()
        self._wake = _Wake(hub, fd)
        # greenlet's own switch: that of gevent's hub looks for a hook first, which nobody has here
        self._pause: Any = greenlet.greenlet.switch.__get__(hub)
        self._wake.start()
        self._watched = False
        self.head: Head
        self.sent_at = self.answered_at = self.ended_at = 0.0

    def _use(self, connected: Any) -> None:
        # the plain socket: gevent's would first read, fail, and then wait
        self._socket: Any = connected
        self._send: Any = self._socket.send
        self._receive: Any = self._socket.recv

    def close(self) -> None:
        """Close it."""
        self._wake.close()
        self._socket.close()

    def is_usable(self, now: float) -> bool:
        """Whether the server has neither closed it meanwhile nor said something unasked.

        Asked before each reuse, as urllib3 does: a request that is sent into a closed connection
        could not be told from one that the server took and dropped, and sending it again would
        have the target count twice what we count once.

        A server that was seen to leave connections open after its answers, a thousand times and
        without exception, is believed for an instant: asking the kernel costs as much as a
        twentieth of a request.
        """
        to, hot = self.origin, now - self.ended_at < INSTANT
        if self._wake.stopped:
            usable = False
        elif hot and to.kept > ENOUGH:
            return True
        else:
            if not self._watched:
                _closures.register(self._socket.fileno(), select.EPOLLRDHUP)
                self._watched = True
            usable = not _closures.poll(0, 1) or not self._is_readable()
        if hot:
            to.kept = to.kept + 1 if usable else NEVER
        return usable

    def give_up(self, was_reused: bool) -> None:
        """Close it after an error.

        ``was_reused`` tells that the request for which it was used again got no answer: it may have
        been closed all the time.
        """
        if was_reused and self.sent_at - self.ended_at < INSTANT:
            self.origin.kept = NEVER
        self.close()

    def _is_readable(self) -> bool:
        poll = _poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def __del__(self) -> None:
        # sessions that nobody closes are let go of, as Requests does with its connections
        if hasattr(self, "_wake"):
            self.close()

    # -- one exchange ------------------------------------------------------------------------

    def exchange(self, request: bytes, timeout: float | None, last: LastAnswer) -> bytes:
        """Send a request, read the answer, give its body; ``timeout`` is for each wait, in seconds.

        ``last`` is what was answered before, which is often the same.  The body is as it came, not
        decoded.  Raises ``requests`` errors; after any exception, the connection is of no more use.
        """
        try:
            try:
                sent = self._send(request)
            except BlockingIOError:
                sent = 0
            if sent != len(request):
                self._send_rest(request, sent)
            self.sent_at = monotonic()
            data = self._read(timeout)
            if data == last.answer:
                self.head = last.head
                self.answered_at = self.ended_at = monotonic()
                return last.body
            first, _, body = data.partition(b"\r\n\r\n")
            head = known.get(first)
            if head is None or head.length != len(body):
                return self._parse(data, timeout)
            self.head = head
            self.answered_at = self.ended_at = monotonic()
            if len(data) <= MAX_EQUAL:
                last.answer, last.head, last.body = data, head, body
            return body
        except exceptions.RequestException:
            raise  # it is an OSError, too
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if "Content-Length" in str(error):
                raise exceptions.InvalidHeader(str(error)) from error
            raise exceptions.ConnectionError(ProtocolError("Connection aborted.", error)) from error
        except OSError as error:
            raise exceptions.ConnectionError(ProtocolError("Connection aborted.", error)) from error

    def _send_rest(self, data: bytes, sent: int) -> None:
        rest = memoryview(data)
        while sent < len(data):
            self._wait_to_write()
            try:
                sent += self._send(rest[sent:])
            except BlockingIOError:
                continue

    def _read(self, timeout: float | None) -> bytes:
        """Wait until there is something, then read it."""
        wake = self._wake
        while True:
            wake.greenlet = _getcurrent()
            if timeout is None:
                self._pause()
            else:
                self._pause_within(timeout)
            wake.greenlet = None
            try:
                data: bytes = self._receive(READ_SIZE)
                return data
            except BlockingIOError:  # a part of a TLS record, or somebody else switched to us
                if _getcurrent() is self._pause.__self__:
                    raise BlockingSwitchOutError("the event loop itself cannot wait") from None

    def _parse(self, data: bytes, timeout: float | None) -> bytes:
        """Parse an answer that begins with ``data``, and read the rest of it."""
        answer, whole = Answer.begin(), data
        while data:
            answer.feed(data)
            if answer.complete:
                break
            data = self._read(timeout)
        else:
            _check_end(answer)
        head, body = answer.head, answer.body
        assert head is not None
        if data is whole:
            remember(whole, head, len(body))
        self.head, self.answered_at, self.ended_at = head, answer.answered_at, monotonic()
        answer.end()
        return body

    # -- waiting -----------------------------------------------------------------------------

    def _pause_within(self, seconds: float) -> None:
        wake = self._wake
        deadline = monotonic() + seconds
        while True:
            if not wake.deadline or deadline < wake.deadline:
                wake.ring_at(deadline)
            if self._pause() is not _TOO_LATE:
                return
            wake.deadline = 0.0
            if monotonic() >= deadline:
                raise self._timed_out(seconds)

    def _timed_out(self, seconds: float | None) -> exceptions.ReadTimeout:
        reason = f"Read timed out. (read timeout={seconds})"
        # wrapped as Requests does it: tests look into these
        return exceptions.ReadTimeout(ReadTimeoutError(str(self.origin), "", reason))  # type: ignore[arg-type]

    def _wait_to_write(self) -> None:
        hub = gevent.get_hub()
        watcher = hub.loop.io(self._socket.fileno(), WRITE)
        watcher.start(_getcurrent().switch)
        try:
            hub.switch()
        finally:
            watcher.stop()
            watcher.close()


class SecureConnection(Connection):
    """A connection with TLS: OpenSSL's object under gevent's socket, used as a plain one is."""

    __slots__ = ("_tls",)

    def _use(self, connected: Any) -> None:
        connected.settimeout(0.0)
        self._socket = connected
        self._tls = connected._sslobj
        self._send, self._receive = self._encrypt, self._decrypt

    def _encrypt(self, data: bytes | memoryview) -> int:
        try:
            sent: int = self._tls.write(data)
            return sent
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def _decrypt(self, size: int) -> bytes:
        try:
            data: bytes = self._tls.read(size)
            return data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _read(self, timeout: float | None) -> bytes:
        # what OpenSSL holds back is nothing that could be waited for
        return self._decrypt(READ_SIZE) if self._tls.pending() else super()._read(timeout)


def _check_end(answer: Answer) -> None:
    """The server closed the connection: the end of some answers, the lack of others."""
    names = {name.lower() for name, _ in answer.headers}
    if answer.head is not None and not names & {b"content-length", b"transfer-encoding"}:
        answer.head.keep_alive = False
    elif answer.head is not None or answer.first:
        raise exceptions.ChunkedEncodingError("Connection broken: incomplete answer")
    else:
        reason = RemoteDisconnected("Remote end closed connection without response")
        raise exceptions.ConnectionError(ProtocolError("Connection aborted.", reason))


def open_connection(origin: Origin, timeout: float | None) -> Connection:
    """Connect to an origin.  Raises ``requests`` connection errors."""
    kind = SecureConnection if origin.scheme == "https" else Connection
    return kind(origin, timeout)
