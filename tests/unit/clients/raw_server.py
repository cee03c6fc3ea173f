"""A server that keeps every request as the bytes that arrived, and answers by path.

``/``, ``/any/...``   200, with two cookies and some headers
``/status/N``         that status
``/to/N``             a redirect to ``/to/N-1``, and so on down to ``/``; each gives a cookie
``/loop``             a redirect to itself
``/to-nowhere``       a redirect to a URL that is none
``/basic``            200 for the user ``ann``, else 401
``/digest``           401 with a challenge, until it is answered
``/chunked``          a body in three chunks
``/gzip``             a compressed body
``/last``             says that the connection ends with it
``/cut``              less body than was promised
``/close``            closes the connection instead of answering
``/reset``            resets it
``/hang``             never answers
``/garbage``          what is no HTTP
"""

from __future__ import annotations

import gzip
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

CHALLENGE = 'Digest realm="site", nonce="abc", qop="auth", algorithm=MD5'


class RawServer(socketserver.ThreadingTCPServer):
    """The server, and what has arrived at it."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived: list[bytes] = []
        self.connections = 0
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self) -> list[bytes]:
        """The requests since the last time."""
        taken, self.arrived[:] = list(self.arrived), []
        return taken

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Handler(socketserver.StreamRequestHandler):
    server: RawServer
    timeout = 30
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.server.connections += 1
        while request := self._read():
            self.server.arrived.append(request)
            method, target, _ = request.split(b" ", 2)
            path = target.decode().partition("?")[0]
            if not self._answer(method.decode(), path, request):
                return

    def _read(self) -> bytes:
        head = b""
        if self.rfile.peek(1)[:1] == b"\x16":  # TLS is not spoken here
            self.wfile.write(_ODD["garbage"])
            return b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return b""
            head += line
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            body = b""
            while not body.endswith(b"0\r\n\r\n"):
                body += self.rfile.readline()
            return head + body
        return head + self.rfile.read(int(fields.get(b"content-length", 0)))

    def _answer(self, method: str, path: str, request: bytes) -> bool:  # noqa: PLR0911 - a table
        """Answer one request; False when the connection ends with that."""
        kind, _, rest = path.strip("/").partition("/")
        if kind == "status":
            return self._send(method, int(rest), b"status " + rest.encode())
        if kind == "to":
            number = int(rest)
            where = f"/to/{number - 1}" if number > 1 else "/"
            status = {0: 302, 1: 303, 2: 307, 3: 301, 4: 308}[number % 5]
            return self._send(method, status, b"", f"Location: {where}", f"Set-Cookie: hop{rest}=1")
        if kind in ("loop", "to-nowhere"):
            where = "/loop" if kind == "loop" else "http://[nowhere"
            return self._send(method, 302, b"on you go", f"Location: {where}")
        if kind == "basic":
            ok = b"\r\nAuthorization: Basic YW5uOnNlY3JldA==\r\n" in request
            return self._send(method, 200 if ok else 401, b"ann?")
        if kind == "digest":
            ok = b"\r\nAuthorization: Digest " in request
            more = () if ok else (f"WWW-Authenticate: {CHALLENGE}", "Set-Cookie: asked=1")
            return self._send(method, 200 if ok else 401, b"who?", *more)
        if kind in ("chunked", "cut", "garbage"):
            self.wfile.write(_ODD[kind])
            return kind == "chunked"
        if kind == "last":
            self._send(method, 200, b"good-bye", "Connection: close")
            return False
        if kind == "gzip":
            body = gzip.compress(b"hello " * 100, mtime=0)
            return self._send(method, 200, body, "Content-Encoding: gzip")
        if kind == "hang":
            select.select([self.connection], [], [], 30)
        elif kind == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if kind in ("hang", "reset", "close"):
            return False
        return self._send(
            method,
            200,
            "hello, \u00fcser".encode(),
            "Set-Cookie: one=1; Path=/",
            'Set-Cookie: two="2"; Path=/any; HttpOnly',
            "X-Twice: a",
            "X-Twice: b",
            'Link: </next>; rel="next"',
        )

    def _send(self, method: str, status: int, body: bytes, *headers: str) -> bool:
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *headers,
            "Content-Type: text/plain; charset=utf-8",
        ]
        bodiless = method == "HEAD" or status in (204, 304)
        if status not in (204, 304):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        self.wfile.write(head.encode() + (b"" if bodiless else body))
        return True


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
_ODD = {
    "chunked": _HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"5\r\nhello\r\n1\r\n \r\n3\r\nyou\r\n0\r\n\r\n",
    "cut": _HEAD + b"Content-Length: 100\r\n\r\nonly this",
    "garbage": b"this is no HTTP\r\n\r\n",
}


@contextmanager
def serving() -> Iterator[RawServer]:
    """A server that is there."""
    with RawServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
