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

from loads.clients.heads import Head
from loads.clients.template import Body, Shape

#: What a response is made of: what was asked, with its body and its cookies, by which session, how
#: many seconds the answer took.  A plain tuple, because one is made for each request.
Call = tuple[Shape, Body, str | None, requests.Session, float]


class LazyResponse(requests.Response):
    """What a session gives back: an answer's ``head`` and ``body``, and the ``call`` that it is to.

    What was not made yet is a :class:`_Lazy` of the class; from when somebody asks for it on it is
    an attribute like any other.
    """

    _content_consumed = True
    _next = None

    _head: Head
    _call: Call

    def __getstate__(self) -> dict[str, Any]:
        """As Requests pickles responses: their content and what people look at."""
        return {name: getattr(self, name, None) for name in self.__attrs__}


class _Lazy:
    """An attribute that is made when it is asked for.

    A ``__getattr__`` would do the same, but would make reading the other attributes slower.
    """

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[[LazyResponse], Any]) -> None:
        self._name, self._make = name, make

    def __get__(self, response: LazyResponse | None, kind: type[LazyResponse]) -> Any:
        if response is None:
            return self
        made = response.__dict__[self._name] = self._make(response)
        return made


_new = object.__new__


def respond(head: Head, body: bytes, call: Call) -> LazyResponse:
    """The response to a call.  No constructor is run: the base's would make everything now."""
    response = _new(LazyResponse)
    response.status_code = head.status
    response._content = body
    response._head = head
    response._call = call
    return response


def _raw_headers(head: Head) -> HTTPHeaderDict:
    """The headers as urllib3 keeps them: repeated ones are all there."""
    headers = HTTPHeaderDict()
    for name, value in head.headers:
        headers.add(name.decode("latin-1"), value.decode("latin-1"))
    return headers


def _fields(head: Head) -> CaseInsensitiveDict[str]:
    """The headers as Requests keeps them, of all answers that begin with this head."""
    if head.fields is None:
        head.fields = CaseInsensitiveDict(_raw_headers(head))
    fields: CaseInsensitiveDict[str] = head.fields
    return fields


def _copy(fields: CaseInsensitiveDict[str]) -> CaseInsensitiveDict[str]:
    """The same for one answer; its own copy() takes ten times as long."""
    copy: Any = CaseInsensitiveDict()
    copy._store = fields._store.copy()
    return copy  # type: ignore[no-any-return]


def _encoding(head: Head) -> str | None:
    if head.encoding is head:
        head.encoding = get_encoding_from_headers(_fields(head))
    encoding: str | None = head.encoding
    return encoding


def _raw(response: LazyResponse) -> HTTPResponse:
    """What ``raw`` is when the content has been read: nothing more comes from it."""
    head = response._head
    return HTTPResponse(
        body=io.BytesIO(),
        headers=_raw_headers(head),
        status=head.status,
        version=11,
        version_string="HTTP/1.1",
        reason=head.reason,
        preload_content=False,
        original_response=OriginalResponse(head),  # type: ignore[arg-type]
        request_url=response.url,
    )


class OriginalResponse:
    """What the standard library's cookie policies look for in an answer."""

    def __init__(self, head: Head) -> None:
        self.msg = Message()
        for name, value in head.headers:
            self.msg[name.decode("latin-1")] = value.decode("latin-1")

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        """There is nothing to close: the connection is the pool's."""


def _cookies(response: LazyResponse) -> RequestsCookieJar:
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, response.request, response.raw)
    return jar


def _request(response: LazyResponse) -> requests.PreparedRequest:
    shape, body, cookie, _, _ = response._call
    return shape.prepare(body, cookie)


for _name, _make in {
    "url": lambda response: response._call[0].url,
    "headers": lambda response: _copy(_fields(response._head)),
    "encoding": lambda response: _encoding(response._head),
    "reason": lambda response: response._head.reason,
    "raw": _raw,
    "history": lambda response: [],
    "cookies": _cookies,
    "elapsed": lambda response: datetime.timedelta(seconds=response._call[4]),
    "request": _request,
    "connection": lambda response: response._call[3].get_adapter(url=response.url),
}.items():
    setattr(LazyResponse, _name, _Lazy(_name, _make))


def decoded(body: bytes, encoding: bytes) -> bytes:
    """A body with a ``Content-Encoding``, decoded.  Raises ``ContentDecodingError``."""
    response = HTTPResponse(
        body=io.BytesIO(body),
        headers={"content-encoding": encoding.decode("latin-1")},
        preload_content=False,
    )
    try:
        return response.read(decode_content=True)
    except DecodeError as error:
        raise exceptions.ContentDecodingError(error) from error
