"""What a hit is called, and what became of one that got no answer."""

from __future__ import annotations

from collections.abc import Callable

import requests

from loads.metrics.series import HIT, NoAnswer, SeriesKey, url_template

MAX_KEYS = 20_000

_Watch = Callable[[requests.PreparedRequest, requests.Response | BaseException, float], None]
_keys: dict[tuple[str, str], SeriesKey] = {}


class Choices:
    """What the run decides about all sessions of a process.

    ``name`` makes the name of a series from a URL; ``watch`` is told of every exchange, if given.
    """

    name: Callable[[str], str] = staticmethod(url_template)
    watch: _Watch | None = None


def exact_name(url: str) -> str:
    """The whole URL as the name of its series, as in Loads 1; only credentials are left out."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def series_key(method: str, url: str, name: str = "") -> SeriesKey:
    """The series of a request: the name that the test gave it, or one made from its URL."""
    if name:
        return SeriesKey(HIT, name, method)
    key = _keys.get((method, url))
    if key is None:
        key = SeriesKey(HIT, Choices.name(url), method)
        if len(_keys) < MAX_KEYS:  # else endless different URLs would fill memory
            _keys[method, url] = key
    return key


def no_answer(error: BaseException) -> NoAnswer:
    """What kind of failure left a request without an answer."""
    if isinstance(error, requests.exceptions.SSLError):
        return NoAnswer.TLS
    if isinstance(error, requests.Timeout | TimeoutError):
        return NoAnswer.TIMED_OUT
    if isinstance(error, ConnectionResetError):
        return NoAnswer.RESET
    text = str(error)
    return next((kind for words, kind in _WORDS.items() if words in text), NoAnswer.OTHER)


_WORDS = {
    "NameResolutionError": NoAnswer.DNS,
    "Connection refused": NoAnswer.REFUSED,
    "BadStatusLine": NoAnswer.OTHER,  # what came was not HTTP, says http.client
    "HttpParser": NoAnswer.OTHER,  # so says llhttp
    "Connection reset": NoAnswer.RESET,
    "Connection aborted": NoAnswer.RESET,
    "Broken pipe": NoAnswer.RESET,
}
