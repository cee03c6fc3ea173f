"""Exchanges as who debugs a test sees them."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
from urllib3 import HTTPResponse

from loads.clients.trace import MAX_BODY, show


def request(method: str = "GET", **options: Any) -> requests.PreparedRequest:
    return requests.Request(method, "http://site/cart", **options).prepare()


def answer(body: bytes = b"", status: int = 200, *, read: bool = True) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = status, "OK"
    response.headers["X-Server"] = "one"
    response.raw = HTTPResponse(io.BytesIO(body), preload_content=False)
    if read:
        response.content
    return response


def shown(sent: requests.PreparedRequest, got: requests.Response | BaseException) -> str:
    stream = io.StringIO()
    show(sent, got, 0.0123, stream)
    return stream.getvalue()


def test_an_exchange() -> None:
    text = shown(request("POST", json={"fruit": "plum"}), answer(b"bought\none plum"))
    assert text == (
        "> POST http://site/cart\n"
        "> Content-Length: 17\n"
        "> Content-Type: application/json\n"
        ">\n"
        '> {"fruit": "plum"}\n'
        "< 200 OK (12.3 ms)\n"
        "< X-Server: one\n"
        "<\n"
        "< bought\n"
        "< one plum\n"
        "\n"
    )


def test_what_has_no_body_has_no_line_for_one() -> None:
    assert shown(request(), answer()) == (
        "> GET http://site/cart\n< 200 OK (12.3 ms)\n< X-Server: one\n\n"
    )


def test_what_came_instead_of_an_answer() -> None:
    text = shown(request(), requests.ConnectionError("Connection refused"))
    assert text.splitlines()[1:] == ["< ConnectionError: Connection refused", ""]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"a": "b c"}, ["> a=b+c"]),
        ("text", ["> text"]),
        (b"\xc3\xbc \xff", ["> \u00fc \\xff"]),
        (iter([b"piece"]), ["> (a stream)"]),
        (b"x" * (MAX_BODY + 5), [f"> {'x' * MAX_BODY} ... (2,005 characters)"]),
        (b"x" * MAX_BODY, [f"> {'x' * MAX_BODY}"]),
    ],
    ids=["form", "text", "bytes", "a stream", "too long", "just not too long"],
)
def test_bodies(data: Any, expected: list[str]) -> None:
    lines = shown(request("POST", data=data), answer()).splitlines()
    assert lines[lines.index(">") + 1 : lines.index("< 200 OK (12.3 ms)")] == expected


def test_what_is_streamed_is_left_for_the_test_to_read() -> None:
    got = answer(b"precious", read=False)
    assert "precious" not in shown(request(), got)
    assert got.content == b"precious"


def test_headers_may_be_bytes() -> None:
    text = shown(request(headers={"X-Bytes": b"\xfc"}), answer())
    assert "> X-Bytes: \u00fc\n" in text


def test_it_goes_to_where_the_tests_own_output_goes(capsys: pytest.CaptureFixture[str]) -> None:
    show(request(), answer(), 1.0)
    assert capsys.readouterr().out.startswith("> GET http://site/cart\n< 200 OK (1000.0 ms)\n")
