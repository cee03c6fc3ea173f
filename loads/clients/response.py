"""A ``requests.Response`` that is built when it is looked at.

Most tests look at the status and perhaps the text.  Headers, cookies, history, the request and the
rest are made from what arrived when somebody asks for them, and are then plain attributes.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from email.message import Message
from typing import Any

import requests
from requests import exceptions
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.exceptions import DecodeError

from loads.clients.http import Answer


class LazyResponse(requests.Response):
    """What a session gives back.  ``answer`` is what arrived, ``prepare`` makes the request of it.

    An attribute that was not made yet is not there, so that ``__getattr__`` is asked for it; from
    then on it is, and everything is as in any other response.
    """

    def __init__(
        self,
        answer: Answer,
        url: str,
        seconds: float,
        prepare: Callable[[], requests.PreparedRequest],
        session: requests.Session,
    ) -> None:
        # not the base's: that would make everything now
        self.status_code = answer.status
        self.url = url
        self._content = answer.body
        self._content_consumed = True
        self._next = None
        self._made_of = (answer, seconds, prepare, session)

    def __getattr__(self, name: str) -> Any:
        maker = _MAKERS.get(name)
        if maker is None or "_made_of" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        made = self.__dict__[name] = maker(self, *self.__dict__["_made_of"])
        return made

    def __getstate__(self) -> dict[str, Any]:
        """As Requests pickles responses: their content and what people look at."""
        return {name: getattr(self, name, None) for name in self.__attrs__}


_Maker = Callable[
    [
        LazyResponse,
        Answer,
        float,
        Callable[[], requests.PreparedRequest],
        requests.Session,
    ],
    Any,
]


def _headers(response: LazyResponse, answer: Answer, *_: Any) -> CaseInsensitiveDict[str]:
    return CaseInsensitiveDict(raw_headers(answer))


def raw_headers(answer: Answer) -> HTTPHeaderDict:
    """The headers as urllib3 keeps them: repeated ones are all there."""
    headers = HTTPHeaderDict()
    for name, value in answer.headers:
        headers.add(name.decode("latin-1"), value.decode("latin-1"))
    return headers


def _raw(response: LazyResponse, answer: Answer, *_: Any) -> HTTPResponse:
    """What ``raw`` is when the content has been read: nothing more comes from it."""
    return HTTPResponse(
        body=io.BytesIO(),
        headers=raw_headers(answer),
        status=answer.status,
        version=11,
        version_string="HTTP/1.1",
        reason=answer.reason,
        preload_content=False,
        original_response=OriginalResponse(answer),  # type: ignore[arg-type]
        request_url=response.url,
    )


class OriginalResponse:
    """What the standard library's cookie policies look for in an answer."""

    def __init__(self, answer: Answer) -> None:
        self.msg = Message()
        for name, value in answer.headers:
            self.msg[name.decode("latin-1")] = value.decode("latin-1")

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        """There is nothing to close: the connection is the pool's."""


def _cookies(response: LazyResponse, *_: Any) -> RequestsCookieJar:
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, response.request, response.raw)
    return jar


_MAKERS: dict[str, _Maker] = {
    "headers": _headers,
    "encoding": lambda response, *_: get_encoding_from_headers(response.headers),
    "reason": lambda response, answer, *_: answer.reason,
    "raw": _raw,
    "history": lambda *_: [],
    "cookies": _cookies,
    "elapsed": lambda response, answer, seconds, *_: datetime.timedelta(seconds=seconds),
    "request": lambda response, answer, seconds, prepare, session: prepare(),
    "connection": lambda response, answer, seconds, prepare, session: session.get_adapter(
        url=response.url
    ),
}


def decoded(answer: Answer, encoding: bytes) -> bytes:
    """The body of an answer with a ``Content-Encoding``.  Raises ``ContentDecodingError``."""
    response = HTTPResponse(
        body=io.BytesIO(answer.body),
        headers={"content-encoding": encoding.decode("latin-1")},
        preload_content=False,
    )
    try:
        return response.read(decode_content=True)
    except DecodeError as error:
        raise exceptions.ContentDecodingError(error) from error
