"""Frames that are nearly right: mutations of one good message of each kind."""

from __future__ import annotations

import random
from collections.abc import Iterator

from loads.errors import RemoteProtocolError
from loads.protocol import messages as m
from loads.protocol.codec import decode, encode
from tests.wire.examples import EXAMPLES

HUGE = 8 << 20  #: bytes


#: Right or wrong, who sends these is obeyed: they end runs, or the one who hears them.
EFFECTIVE = (m.Purge, m.StopRun, m.Rejected)


def mutated(seed: int, number: int, huge: bool = True) -> Iterator[list[bytes]]:
    """So many multipart messages, each made of a good one, the same for a ``seed``.

    Two more are ``huge``.
    """
    chance = random.Random(seed)
    good = [encode(said) for kind, said in EXAMPLES.items() if kind not in EFFECTIVE]
    for _ in range(number):
        frames = _mutation(chance, [*chance.choice(good)], good)
        while is_one_of(EFFECTIVE, frames):  # the beginning of Purged is Purge
            frames = _mutation(chance, [*chance.choice(good)], good)
        yield frames
    if huge:
        yield [*chance.choice(good), bytes(HUGE)]
        yield [good[0][0], good[0][1], chance.randbytes(HUGE)]


def is_one_of(kinds: tuple[type[m.Message], ...], frames: list[bytes]) -> bool:
    """Whether some frames are a good message of one of these kinds."""
    try:
        return bool(decode(frames, kinds))
    except RemoteProtocolError:
        return False


def _mutation(chance: random.Random, frames: list[bytes], good: list[list[bytes]]) -> list[bytes]:
    at = chance.randrange(len(frames))
    kind = chance.randrange(8)
    if kind == 0:
        at = max(at, 1)  # another version is no garbage
        frames[at] = _flipped(chance, frames[at])
    elif kind == 1:
        frames[at] = frames[at][: chance.randrange(len(frames[at]) + 1)]
    elif kind == 2:
        del frames[at]
    elif kind == 3:
        frames.insert(at, frames[at])
    elif kind == 4:
        chance.shuffle(frames)
    elif kind == 5:
        frames[2] = chance.choice(good)[2]  # another kind's body
    elif kind == 6:
        frames[2] = _swapped(chance, frames[2])
    return frames  # or as it was: out of order is wrong enough


def _flipped(chance: random.Random, data: bytes) -> bytes:
    """Some bits are others."""
    changed = bytearray(data or b"\0")
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _swapped(chance: random.Random, data: bytes) -> bytes:
    """A stretch of it is somewhere else."""
    first, last = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    rest = data[:first] + data[last:]
    to = chance.randrange(len(rest) + 1)
    return rest[:to] + data[first:last] + rest[to:]
