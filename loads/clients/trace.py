"""Shows requests and answers to somebody who debugs a test."""

from __future__ import annotations

import sys
from typing import TextIO

import requests

from loads.outputs.stream import visible

MAX_BODY = 2_000  #: characters of a body


def show(
    request: requests.PreparedRequest,
    answer: requests.Response | BaseException,
    seconds: float,
    stream: TextIO | None = None,
) -> None:
    """Print one exchange: the request with ``>``, the answer or what came instead with ``<``."""
    lines = [f"> {request.method} {request.url}"]
    lines += [f"> {name}: {_text(value)}" for name, value in request.headers.items()]
    lines += _body(">", request.body)
    if isinstance(answer, BaseException):
        lines.append(f"< {type(answer).__name__}: {answer}")
    else:
        lines.append(f"< {answer.status_code} {answer.reason} ({seconds * 1000:.1f} ms)")
        lines += [f"< {name}: {value}" for name, value in answer.headers.items()]
        # a streamed body is the test's to read
        lines += _body("<", answer.content if answer._content_consumed else None)
    # what a target says may be anything; tabs alone, in bodies, are no harm
    shown = [visible(line.expandtabs(4)) for line in lines]
    print("\n".join(shown), end="\n\n", file=stream or sys.stdout, flush=True)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _body(mark: str, body: object) -> list[str]:
    if not body:
        return []
    if not isinstance(body, str | bytes):
        return [mark, f"{mark} (a stream)"]
    text = body.decode("utf-8", "backslashreplace") if isinstance(body, bytes) else body
    cut = f" ... ({len(text):,} characters)" if len(text) > MAX_BODY else ""
    shown = text[:MAX_BODY] + cut
    return [mark, *(f"{mark} {line}" for line in shown.splitlines())]
