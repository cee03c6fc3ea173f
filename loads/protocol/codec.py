"""Messages as frames.

A message is three frames: the protocol's name and version, the message's kind, and a msgpack map
of its fields.  How each field is written and checked is worked out once from the types of the
message classes; there is no schema beside them that could disagree.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import (
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgpack

from loads.errors import LoadsError, RemoteProtocolError
from loads.metrics.history import History
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol.messages import ALL, Message

VERSION = 1
PROTOCOL = f"LOADS/{VERSION}".encode()

_Document = TypeVar("_Document")
_OTHER_VERSION = re.compile(rb"LOADS/\d{1,9}")


class VersionMismatch(RemoteProtocolError):
    """The peer speaks this protocol, but in another version."""


class _Converter(NamedTuple):
    """Writes a value as plain data, and reads it back or raises ``ValueError``, ``TypeError``."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def encode(message: Message) -> list[bytes]:
    """The frames of a message."""
    return [PROTOCOL, _kind(type(message)), pack(message)]


def pack(document: Any) -> bytes:
    """A message, or another dataclass of such fields as messages have, as bytes: the body."""
    writers, _ = _fields(type(document))
    body = {name: write(getattr(document, name)) for name, write in writers.items()}
    return cast(bytes, msgpack.packb(body, default=_nearest, unicode_errors="backslashreplace"))


def decode(
    frames: Sequence[bytes | memoryview], allowed: tuple[type[Message], ...] = ALL
) -> Message:
    """The message of some frames.

    ``allowed`` is what the peer may send on this socket.  Raises :class:`RemoteProtocolError`
    for whatever else the frames are; never anything else.
    """
    if len(frames) != 3:
        raise RemoteProtocolError(f"A message has 3 frames, not {len(frames)}.")
    protocol, kind, body = (bytes(frame) for frame in frames)
    if protocol != PROTOCOL:
        if _OTHER_VERSION.fullmatch(protocol):
            raise VersionMismatch(  # read by either side: what a broker sees, it sends back
                f"The versions differ: {protocol.decode()} was sent, and {PROTOCOL.decode()} is "
                "understood.",
                "Install the same version of Loads on both sides.",
            )
        raise RemoteProtocolError("The peer does not speak this protocol.")
    cls = _by_kind(allowed).get(kind)
    if cls is None:
        raise RemoteProtocolError(f"The peer may not send {kind[:40]!r} here.")
    return unpack(cls, body)


def unpack(cls: type[_Document], body: bytes) -> _Document:
    """The inverse of :func:`pack`.  Fields that are not known are ignored.

    Raises :class:`RemoteProtocolError` for whatever else the bytes are; never anything else.
    """
    try:
        fields = msgpack.unpackb(body)
        if not isinstance(fields, dict):
            raise TypeError("the body is no map")
        _, readers = _fields(cls)
        known = {name: readers[name](fields[name]) for name in readers if name in fields}
        return cls(**known)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, LoadsError) as error:
        raise RemoteProtocolError(f"This is no {cls.__name__}: {error}.") from error
    except msgpack.exceptions.UnpackException as error:
        raise RemoteProtocolError("The body of a message is no msgpack.") from error


def _nearest(value: Any) -> int:
    """A whole number that 64 bits have no room for, as the nearest that they have."""
    if not isinstance(value, int):
        raise TypeError(f"messages hold no {type(value).__name__}")
    return (1 << 63) - 1 if value > 0 else -(1 << 63)


def _kind(cls: type[Message]) -> bytes:
    return cls.__name__.encode()


@cache
def _by_kind(allowed: tuple[type[Message], ...]) -> dict[bytes, type[Message]]:
    return {_kind(cls): cls for cls in allowed}


_Fields = tuple[dict[str, Callable[[Any], Any]], dict[str, Callable[[Any], Any]]]
_known: dict[type[Any], _Fields] = {}


def _fields(cls: type[Any]) -> _Fields:
    """How the fields of a dataclass are written, and how they are read."""
    if cls not in _known:
        hints = get_type_hints(cls)
        converters = {f.name: _converter(hints[f.name]) for f in dataclasses.fields(cls)}
        _known[cls] = (
            {name: converter.write for name, converter in converters.items()},
            {name: converter.read for name, converter in converters.items()},
        )
    return _known[cls]


def _same(value: Any) -> Any:
    return value


def _exactly(kind: type) -> _Converter:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
        return value

    return _Converter(_same, read)


def _read_float(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError("a finite number expected")
    return float(value)


def _converter(hint: Any) -> _Converter:
    """The converter for a type: those that messages are made of, and no others."""
    if hint in (str, bytes, int, bool):
        return _exactly(hint)
    if hint is float:
        return _Converter(float, _read_float)
    if hint in (RunPlan, History):
        return _Converter(hint.pack, hint.unpack)
    if hint is Tally:
        return _Converter(Tally.write, Tally.read)
    if dataclasses.is_dataclass(hint):
        return _nested(hint)
    return _generic(get_origin(hint), get_args(hint))


def _generic(origin: Any, arguments: tuple[Any, ...]) -> _Converter:
    if origin is Literal:
        return _Converter(_same, lambda value: _one_of(value, arguments))
    inner = _converter(arguments[0])
    if origin is tuple:
        return _Converter(
            lambda values: [inner.write(value) for value in values],
            lambda values: tuple(inner.read(value) for value in _a_list(values)),
        )
    if origin in (Union, types.UnionType) and arguments[1:] == (type(None),):
        return _Converter(
            lambda value: None if value is None else inner.write(value),
            lambda value: None if value is None else inner.read(value),
        )
    raise TypeError(f"messages have no fields of type {origin} of {arguments}")


def _nested(cls: Any) -> _Converter:
    writers, readers = _fields(cls)

    def write(value: Any) -> Any:
        return {name: write(getattr(value, name)) for name, write in writers.items()}

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"{cls.__name__} is a map")
        return cls(**{name: readers[name](value[name]) for name in readers if name in value})

    return _Converter(write, read)


def _one_of(value: Any, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"{value!r} is none of {', '.join(map(repr, choices))}")
    return value


def _a_list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError("a list expected")
    return values
