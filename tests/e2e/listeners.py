"""Servers that observers talk to, each in a thread of the test: mail, IRC, and a sink of HTTP."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope


class _AnyPort(Controller):
    """A server at any free port: that of aiosmtpd knocks at port 0."""

    @property
    def bound(self) -> int:
        assert self.server is not None
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    def _trigger_server(self) -> None:
        with socket.create_connection(("127.0.0.1", self.bound), 10) as connection:
            connection.recv(1024)


class Mailbox:
    """A real SMTP server that keeps its mail, for one user and password if these are given."""

    def __init__(self, user: str = "", password: str = "") -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        settings: dict[str, Any] = {}
        if user:

            def check(server: Any, session: Any, envelope: Any, how: str, data: Any) -> AuthResult:
                right = (data.login, data.password) == (user.encode(), password.encode())
                return AuthResult(success=right, handled=False)

            settings = {"auth_require_tls": False, "authenticator": check}
        self._controller = _AnyPort(self, hostname="127.0.0.1", port=0, **settings)

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        """aiosmtpd's hook."""
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.recipients.append(list(envelope.rcpt_tos))
        self.mails.append(mail)
        return "250 OK"

    @property
    def port(self) -> int:
        return self._controller.bound

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._controller.stop()


class Channel:
    """A server of IRC with one channel.  A name of ``taken`` is somebody else's."""

    def __init__(self, taken: tuple[str, ...] = (), locked: bool = False) -> None:
        self.taken, self.locked = taken, locked
        self.said: list[tuple[str, str, str]] = []  #: who, where, what
        self.left = 0
        self.port = 0

    def serve(self, file: Any, say: Callable[[str], None]) -> None:
        """One connection."""
        name, welcomed = "", False
        for line in (raw.decode().rstrip("\r\n") for raw in file):
            command, _, rest = line.partition(" ")
            if command == "NICK":
                if rest in self.taken:
                    say(f":here 433 * {rest} :Nickname is already in use")
                    continue
                name = rest
            if command in ("NICK", "USER") and name and not welcomed:
                welcomed = True
                say("PING :are you there")
            elif command == "PONG":
                assert rest == ":are you there"
                say(f":here 001 {name} :Welcome")
                say(f":here 422 {name} :MOTD File is missing")
            elif command == "JOIN" and self.locked:
                say(f":here 474 {name} {rest} :Cannot join channel (+b)")
            elif command == "JOIN":
                say(f":{name}!loads@here JOIN {rest}")
                say(f":here 366 {name} {rest} :End of /NAMES list.")
            elif command == "PRIVMSG":
                where, _, what = rest.partition(" :")
                self.said.append((name, where, what))
            elif command == "QUIT":
                self.left += 1
                say("ERROR :Closing Link")
                return


@contextmanager
def chatting(channel: Channel) -> Iterator[Channel]:
    """A channel that is there."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            channel.serve(
                self.rfile, lambda line: _ignore(self.wfile.write(f"{line}\r\n".encode()))
            )

    with _server(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        channel.port = port
        yield channel


class Sink:
    """What was posted, and what is answered."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.posted: list[tuple[str, Any]] = []
        self.url = ""


@contextmanager
def posting(sink: Sink) -> Iterator[Sink]:
    """A sink that is there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.posted.append((self.path, json.loads(body)))
            self.send_response(sink.status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with _server(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        sink.url = f"http://127.0.0.1:{port}"
        yield sink


@contextmanager
def _server(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[misc]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _ignore(value: object) -> None:
    """For a callback whose value means nothing."""
