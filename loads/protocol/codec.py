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
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import repeat
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

from loads.errors import LoadsError, PlanError, RemoteProtocolError
from loads.metrics.history import History
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol.limits import MAX_PLAN
from loads.protocol.messages import ALL, Message
from loads.protocol.roles import UNLOCKED, Who, may
from loads.protocol.sizes import COUNTED, MAX_COUNTED, MAX_STRING, SIZES, Size

VERSION = 1
PROTOCOL = f"LOADS/{VERSION}".encode()

_Document = TypeVar("_Document")
_NO_MESSAGE = RemoteProtocolError("There is no message.")  #: where one will be
_OTHER_VERSION = re.compile(rb"LOADS/\d{1,9}")
_BEGINNING = 32  #: bytes of a body in which the number of its request is
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}  #: bytes of the length of bytes, by how they begin in msgpack


class VersionMismatch(RemoteProtocolError):
    """The peer speaks this protocol, but in another version."""


class NotEntitled(RemoteProtocolError):
    """A message that its sender has no right to send: its body was not looked at.

    ``request`` is the number of the request, 0 where there is none.
    """

    def __init__(self, kind: type[Message], request: int) -> None:
        super().__init__(f"The peer has no right to send {kind.__name__}.")
        self.kind = kind
        self.request = request


class _Converter(NamedTuple):
    """Writes a value as plain data, and reads it back or raises ``ValueError``, ``TypeError``."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def encode(message: Message) -> list[bytes]:
    """The frames of a message."""
    return [PROTOCOL, _kind(type(message)), pack(message)]


def pack(document: Any) -> bytes:
    """A message, or another dataclass of such fields as messages have, as bytes: the body."""
    writers = _fields(type(document)).writers
    body = {name: write(getattr(document, name)) for name, write in writers.items()}
    return cast(bytes, msgpack.packb(body, default=_nearest, unicode_errors="backslashreplace"))


def plan_size(plan: RunPlan) -> int:
    """The bytes that a plan takes in a message."""
    packed = msgpack.packb(plan.pack(), default=_nearest, unicode_errors="backslashreplace")
    return len(packed)


def check_plan_size(plan: RunPlan) -> None:
    """Raises :class:`PlanError` for a plan that is too large to be sent, kept and shown."""
    size = plan_size(plan)
    if size > MAX_PLAN:
        raise PlanError(
            f"The plan takes {size:,} bytes: that is its configuration, its environment and all "
            "else that it names.",
            f"It may take {MAX_PLAN:,} at most. Put what is large into a file of the project.",
        )


def decode(
    frames: Sequence[bytes | memoryview], allowed: tuple[type[Message], ...] = ALL
) -> Message:
    """The message of some frames.

    ``allowed`` is what the peer may send on this socket.  Raises :class:`RemoteProtocolError`
    for whatever else the frames are; never anything else.
    """
    cls, size, body = _taken_apart(frames, allowed)
    return _made(cls, _parsed(cls, body, size))


def decode_all(
    many: Iterable[Sequence[bytes | memoryview]],
    allowed: tuple[type[Message], ...],
    senders: Iterable[Who] | None = None,
) -> list[Message | RemoteProtocolError]:
    """The messages of many lists of frames, or what :func:`decode` raises for them.

    With ``senders``, one for each, it is :class:`NotEntitled` for what they have no right to say.
    Numbers are read together, which takes a fraction of the time where they are alike.
    """
    found: list[Message | RemoteProtocolError] = []
    parsed: list[tuple[int, type[Message], dict[str, Any]]] = []
    for place, (frames, sender) in enumerate(zip(many, senders or repeat(UNLOCKED), strict=False)):
        try:
            cls, size, body = _taken_apart(frames, allowed)
            if senders is not None and not may(sender, cls):
                raise NotEntitled(cls, _request_in(body))
            parsed.append((place, cls, _parsed(cls, body, size)))
            found.append(_NO_MESSAGE)
        except RemoteProtocolError as error:
            found.append(error)
    tallies = [
        fields[name] for _, cls, fields in parsed for name in _fields(cls).tallies if name in fields
    ]
    if len(tallies) > 1:
        Tally.read_together(tallies)
    for place, cls, fields in parsed:
        try:
            found[place] = _made(cls, fields)
        except RemoteProtocolError as error:
            found[place] = error
    return found


def _taken_apart(
    frames: Sequence[bytes | memoryview], allowed: tuple[type[Message], ...]
) -> tuple[type[Message], Size | None, bytes]:
    """The kind of a message, how large it may be, and its body."""
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
    known = _by_kind(allowed).get(kind)
    if known is None:
        raise RemoteProtocolError(f"The peer may not send {kind[:40]!r} here.")
    return *known, body


def _request_in(body: bytes) -> int:
    """The number of a request, without reading the rest of it: it is what comes first."""
    beginning = msgpack.Unpacker(max_buffer_size=_BEGINNING)
    beginning.feed(body[:_BEGINNING])
    try:
        if beginning.read_map_header() and beginning.unpack() == "request":
            number = beginning.unpack()
            return number if type(number) is int else 0
    except (msgpack.exceptions.UnpackException, ValueError, TypeError):
        return 0
    return 0


def unpack(cls: type[_Document], body: bytes) -> _Document:
    """The inverse of :func:`pack`.  Fields that are not known are ignored.

    Raises :class:`RemoteProtocolError` for whatever else the bytes are; never anything else.
    """
    return _made(cls, _parsed(cls, body))


def _parsed(cls: type[Any], body: bytes, size: Size | None = None) -> dict[str, Any]:
    """The fields of a document, as they came; a ``size`` is how large it may be."""
    try:
        if size is None:
            fields = msgpack.unpackb(body)
        elif len(body) <= COUNTED:
            if len(body) > size.body:
                raise ValueError("it is too large")
            # a list has room made for all that it announces, and each may announce as much
            fields = msgpack.unpackb(
                body, max_array_len=size.items, max_map_len=size.items, max_str_len=MAX_STRING
            )
        else:
            fields = _parsed_large(body, size)
    except msgpack.exceptions.UnpackException as error:
        raise RemoteProtocolError("The body of a message is no msgpack.") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _no(cls, error) from error
    if not isinstance(fields, dict):
        raise RemoteProtocolError(f"This is no {cls.__name__}: the body is no map.")
    return fields


def _parsed_large(body: bytes, size: Size) -> Any:
    """What a large body says.  Raises ``ValueError`` when that is too much."""
    beside = len(body) if not size.bundle else _beside_bytes(body, size.body)
    if beside > size.body or len(body) > size.most:
        raise ValueError("it is too large")
    count = 0

    def counted(items: Any) -> Any:
        nonlocal count
        count += 1 + len(items)
        if count > MAX_COUNTED:
            raise ValueError("it has too many items")
        return items

    return msgpack.unpackb(
        body,
        max_array_len=size.items,
        max_map_len=size.items,
        max_str_len=MAX_STRING,
        object_hook=counted,
        list_hook=counted,
    )


def _beside_bytes(body: bytes, most: int) -> int:
    """How many bytes of a map are none of a value that is bytes itself, as a bundle is.

    Nothing is made of them; after ``most``, it is ``most`` and one.
    """
    at = seen = 0
    left, unpacker = -1, None
    while left:
        if unpacker is None:
            unpacker = msgpack.Unpacker(max_buffer_size=most + 1)
            unpacker.feed(memoryview(body)[at : at + most - seen])
        try:
            if left < 0:
                left = unpacker.read_map_header()
                continue
            unpacker.skip()
            here = at + unpacker.tell()
            width = _BYTES.get(body[here]) if here < len(body) else None
            if width is None:
                unpacker.skip()
            else:
                seen += unpacker.tell()
                end = here + 1 + width
                at, unpacker = end + int.from_bytes(body[here + 1 : end], "big"), None
            left -= 1
        except msgpack.exceptions.OutOfData:
            return most + 1
    return seen if unpacker is None else seen + unpacker.tell()


def _made(cls: type[_Document], fields: dict[str, Any]) -> _Document:
    """The document of such fields."""
    readers = _fields(cls).readers
    try:
        return cls(**{name: readers[name](fields[name]) for name in readers if name in fields})
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, LoadsError) as error:
        raise _no(cls, error) from error


def _no(cls: type[Any], error: Exception) -> RemoteProtocolError:
    return RemoteProtocolError(f"This is no {cls.__name__}: {error}.")


def _nearest(value: Any) -> int:
    """A whole number that 64 bits have no room for, as the nearest that they have."""
    if not isinstance(value, int):
        raise TypeError(f"messages hold no {type(value).__name__}")
    return (1 << 63) - 1 if value > 0 else -(1 << 63)


def _kind(cls: type[Message]) -> bytes:
    return cls.__name__.encode()


@cache
def _by_kind(
    allowed: tuple[type[Message], ...],
) -> dict[bytes, tuple[type[Message], Size | None]]:
    return {_kind(cls): (cls, SIZES.get(cls)) for cls in allowed}


class _Fields(NamedTuple):
    """How the fields of a dataclass are written, how they are read, and which are tallies."""

    writers: dict[str, Callable[[Any], Any]]
    readers: dict[str, Callable[[Any], Any]]
    tallies: list[str]


_known: dict[type[Any], _Fields] = {}


def _fields(cls: type[Any]) -> _Fields:
    if cls not in _known:
        hints = get_type_hints(cls)
        converters = {f.name: _converter(hints[f.name]) for f in dataclasses.fields(cls)}
        _known[cls] = _Fields(
            {name: converter.write for name, converter in converters.items()},
            {name: converter.read for name, converter in converters.items()},
            [name for name in converters if hints[name] is Tally],
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
    writers, readers, _ = _fields(cls)

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
