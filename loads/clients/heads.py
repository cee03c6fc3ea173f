"""Heads of answers: the status line and the headers, kept while they come again and again.

A server that is asked the same says the same: most answers of a load test begin with bytes that
came before, a second ago at the latest, when the ``Date`` was another.  What those bytes mean was
found out by llhttp when they came first, which costs two microseconds; to look them up costs a
quarter of one.  A head that was never seen, and any answer that is not complete in what was
read at once, is parsed.
"""

from __future__ import annotations

from http.client import responses
from typing import Any

MAX_HEADS = 256  #: heads that are kept; then all are forgotten
MAX_SIZE = 2_048  #: bytes of a head that is kept
_BODILESS = (204, 304)
_FOR_CLIENTS = {b"set-cookie", b"content-encoding", b"location"}


class Head:
    """The status and headers of one answer, or of many equal ones: nobody changes it.

    ``headers`` are pairs of bytes; ``plain`` tells that there is none among them that a client
    does something about; ``keep_alive`` that the connection can be used again.
    """

    __slots__ = (
        "encoding",
        "fields",
        "headers",
        "keep_alive",
        "length",
        "plain",
        "reason",
        "status",
    )

    def __init__(
        self, first: bytes, status: int, headers: list[tuple[bytes, bytes]], keep_alive: bool
    ) -> None:
        self.status = status
        self.headers = headers
        self.keep_alive = keep_alive
        self.reason = _reason(first, status)
        self.fields: Any = None  #: the headers as Requests has them, once somebody has asked
        self.encoding: Any = self  #: likewise of the body; itself while nobody has
        self.length = -1  #: bytes of the body, of a head that was remembered
        self.plain = _FOR_CLIENTS.isdisjoint(name.lower() for name, _ in headers)


def _reason(first: bytes, status: int) -> str:
    """The reason phrase, or the usual one where it did not come with the first bytes."""
    line, ended, _ = first.partition(b"\r\n")
    parts = line.split(b" ", 2)
    if ended and len(parts) == 3 and parts[1] == b"%d" % status:
        return parts[2].decode("latin-1")
    return "" if ended else responses.get(status, "")


known: dict[bytes, Head] = {}  #: by their bytes, without the empty line that ends them


def remember(answer: bytes, head: Head, size: int) -> None:
    """Keep the head of a complete ``answer``, with ``size`` bytes of body, if it can be kept.

    That is when the next answer that begins with it ends after as many bytes as this one: the
    head has to say so itself, and by nothing else than its ``Content-Length``.
    """
    first, ended, body = answer.partition(b"\r\n\r\n")
    names = [name.lower() for name, _ in head.headers]
    if (
        not ended
        or len(first) > MAX_SIZE
        or len(body) != size
        or head.status in _BODILESS
        or names.count(b"content-length") != 1
        or b"transfer-encoding" in names
    ):
        return
    if len(known) >= MAX_HEADS:
        known.clear()
    head.length = size
    known[first] = head
