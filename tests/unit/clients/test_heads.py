"""Heads that are remembered, and those that must not be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loads.clients import heads
from loads.clients.heads import Head, remember


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    heads.known.clear()
    yield
    heads.known.clear()


def head(text: str, status: int = 200) -> tuple[bytes, Head]:
    first = f"HTTP/1.1 {status} Fine\n{text}".replace("\n", "\r\n").strip().encode()
    pairs = [tuple(line.split(b": ")) for line in first.split(b"\r\n")[1:]]
    return first, Head(first, status, pairs, True)  # type: ignore[arg-type]


def test_a_complete_answer_is_known_again() -> None:
    first, own = head("Content-Length: 5\nDate: today")
    remember(first + b"\r\n\r\nhello", own, 5)
    assert heads.known == {first: own}
    assert (own.length, own.reason, own.plain) == (5, "Fine", True)


@pytest.mark.parametrize(
    ("text", "status", "size"),
    [
        pytest.param("Date: today", 200, 5, id="until the connection is closed"),
        pytest.param("Transfer-Encoding: chunked", 200, 5, id="chunked"),
        pytest.param("Content-Length: 5\nTransfer-Encoding: chunked", 200, 5, id="both"),
        pytest.param("Content-Length: 5\ncontent-length: 5", 200, 5, id="twice"),
        pytest.param("Content-Length: 5", 304, 5, id="without a body"),
        pytest.param("Content-Length: 9", 200, 9, id="more was read later"),
        pytest.param("Content-Length: 5\nX: " + "x" * 3_000, 200, 5, id="too long"),
    ],
)
def test_what_does_not_tell_where_it_ends_is_parsed(text: str, status: int, size: int) -> None:
    first, own = head(text, status)
    remember(first + b"\r\n\r\nhello", own, size)
    assert heads.known == {}


def test_endless_different_heads_take_no_memory() -> None:
    for number in range(2 * heads.MAX_HEADS + 1):
        first, own = head(f"Content-Length: 0\nX-Id: {number}")
        remember(first + b"\r\n\r\n", own, 0)
    assert 0 < len(heads.known) <= heads.MAX_HEADS


@pytest.mark.parametrize("name", ["Set-Cookie", "CONTENT-ENCODING", "location"])
def test_a_head_that_clients_act_on_is_not_plain(name: str) -> None:
    assert not head(f"{name}: x")[1].plain
