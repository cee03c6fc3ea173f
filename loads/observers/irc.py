"""Tells of the end of a run in a channel of IRC (RFC 2812)."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import ClassVar

from loads.errors import UsageError
from loads.metrics.summary import RunView
from loads.observers.base import TIMEOUT, ObserverOption, headline, port_number

MAX_LINE = 400  #: bytes of what we say; a whole line has 512, with what the server puts before
MAX_NAMES = 5  #: how often another nickname is tried

_WELCOME, _END_OF_NAMES = "001", "366"
_NAME_TAKEN = ("432", "433", "436")
_NO = re.compile(r"4\d\d|ERROR")  # errors that are about us or the channel


class IrcObserver:
    """Joins a channel, says one line, and leaves."""

    options: ClassVar[tuple[ObserverOption, ...]] = (
        ObserverOption("channel", "", "the channel, such as #loads"),
        ObserverOption("server", "", "the server, as the broker sees it"),
        ObserverOption("port", "6667", "its port"),
        ObserverOption("nickname", "loads", "who says it"),
        ObserverOption("tls", "no", "yes or no"),
    )

    def __init__(
        self,
        channel: str = "",
        server: str = "",
        port: str = "6667",
        nickname: str = "loads",
        tls: str = "no",
    ) -> None:
        for name, value in (("channel", channel), ("server", server), ("nickname", nickname)):
            if not value or any(char.isspace() or char in ",\0\a" for char in value):
                raise UsageError(
                    f"The observer 'irc' needs a {name}"
                    + (f", and {value!r} is none." if value else "."),
                    f"Give --observer-irc-{name}.",
                )
        if tls not in ("yes", "no"):
            raise UsageError(f"--observer-irc-tls {tls} is no choice.", "Give yes or no.")
        self._channel = channel if channel[0] in "#&+!" else f"#{channel}"
        self._server, self._port = server, port_number("irc", port)
        self._nickname, self._tls = nickname, tls == "yes"

    def tell(self, view: RunView) -> None:
        """Say it.  Raises ``OSError`` when the server cannot be reached or does not let us."""
        with self._connect() as connection:
            lines = _lines(connection)
            nickname = self._nickname
            _say(connection, f"NICK {nickname}", f"USER {nickname} 0 * :Loads")
            for attempt in range(MAX_NAMES):
                command = _await(connection, lines, _WELCOME, *_NAME_TAKEN)
                if command == _WELCOME:
                    break
                _say(connection, f"NICK {nickname}{'_' * (attempt + 1)}")
            else:
                raise ConnectionError("all nicknames are taken")
            _say(connection, f"JOIN {self._channel}")
            _await(connection, lines, _END_OF_NAMES)
            # a failure's message may hold line ends, and what follows one is another command
            text = " ".join(f"Test over. {headline(view)}".split())
            _say(connection, f"PRIVMSG {self._channel} :{_clipped(text)}", "QUIT :Bye!")
            for _ in lines:  # until the server has taken leave of us, all is delivered
                continue

    def _connect(self) -> socket.socket:
        connection = socket.create_connection((self._server, self._port), TIMEOUT)
        if not self._tls:
            return connection
        import ssl

        context = ssl.create_default_context()
        return context.wrap_socket(connection, server_hostname=self._server)


def _say(connection: socket.socket, *lines: str) -> None:
    connection.sendall("".join(f"{line}\r\n" for line in lines).encode())


def _lines(connection: socket.socket) -> Iterator[str]:
    """What the server says, line by line, until it closes."""
    with connection.makefile("rb") as file:
        while line := file.readline(8192):
            yield line.decode(errors="replace").strip()


def _await(connection: socket.socket, lines: Iterator[str], *wanted: str) -> str:
    """Answer pings until one of the wanted commands comes; give that."""
    for line in lines:
        words = line.split()
        if line.startswith(":"):
            words = words[1:]
        if not words:
            continue
        if words[0] == "PING":
            _say(connection, f"PONG {' '.join(words[1:])}")
        elif words[0] in wanted:
            return words[0]
        elif _NO.fullmatch(words[0]) and words[0] != "422":  # 422: there is no message of the day
            raise ConnectionError(f"the server says: {line}")
    raise ConnectionError("the server closed the connection")


def _clipped(text: str) -> str:
    return text.encode()[:MAX_LINE].decode(errors="ignore")
