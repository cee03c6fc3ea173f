"""Answers while they arrive, parsed by llhttp."""

from __future__ import annotations

from time import monotonic

import httptools

from loads.clients.heads import Head

MAX_IDLE = 100  #: that are kept for later

_idle: list[Answer] = []


class Answer:
    """One answer, fed as it comes; then another one, for making a parser takes a microsecond.

    ``head`` is there from ``answered_at`` on, on the monotonic clock; ``complete`` tells that it
    has ended where it said that it would.
    """

    __slots__ = ("_parser", "answered_at", "chunks", "complete", "first", "head", "headers")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._start()

    def _start(self) -> None:
        self.head: Head | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self.first = b""
        self.complete = False
        self.answered_at = 0.0

    @classmethod
    def begin(cls) -> Answer:
        """One that nothing was fed to."""
        return _idle.pop() if _idle else cls()

    def end(self) -> None:
        """Let another answer have the parser, unless it expects that none follows."""
        if self.complete and self.head and self.head.keep_alive and len(_idle) < MAX_IDLE:
            self._start()
            _idle.append(self)

    def feed(self, data: bytes) -> None:
        """What has arrived.  Raises what ``httptools`` raises on what is no answer."""
        if not self.first:
            self.first = data
        self._parser.feed_data(data)

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)

    # -- what the parser calls ---------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # what comes before is not yet the answer
            self.headers, self.first = [], b""
            return
        self.answered_at = monotonic()
        self.head = Head(self.first, status, self.headers, self._parser.should_keep_alive())

    def on_body(self, data: bytes) -> None:
        self.chunks.append(data)

    def on_message_complete(self) -> None:
        if self.head is not None:
            self.complete = True
