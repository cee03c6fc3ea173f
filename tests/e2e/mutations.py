"""Messages that are nearly right, sent by peers with and without a key."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

import zmq
from zmq.utils import z85

from loads.protocol import messages as m
from loads.protocol.codec import encode
from loads.transport.pairs import public_of
from loads.transport.tokens import Access
from tests.e2e.frames import is_one_of
from tests.wire.examples import EXAMPLES

TRIES = 3  #: to send the same, by a peer that may die of it
PATIENCE_MS = 5_000  #: how long a broker that is busy may keep us waiting


def mutated(seed: int, number: int) -> Iterator[list[bytes]]:
    """About so many messages of all kinds, each damaged in one way or in several, or not at all."""
    chance = random.Random(seed)
    good = [encode(EXAMPLES[kind]) for kind in m.ALL]
    for _ in range(number):
        frames = list(chance.choice(good))
        for _ in range(chance.randrange(4)):
            frames = chance.choice(_WAYS)(chance, frames)
        if not is_one_of(
            (m.Purge,), frames
        ):  # a runner has the right to that, however it came to say it
            yield frames


def _flip(chance: random.Random, frames: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(frames)) if frames else 0
    if not frames or not frames[at]:
        return [*frames, b""]
    frame = bytearray(frames[at])
    frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
    return [*frames[:at], bytes(frame), *frames[at + 1 :]]


def _cut(chance: random.Random, frames: list[bytes]) -> list[bytes]:
    return [frame[: chance.randrange(len(frame) + 1)] for frame in frames]


def _lose(chance: random.Random, frames: list[bytes]) -> list[bytes]:
    return frames[: chance.randrange(len(frames) + 1)] or [b""]


def _repeat(chance: random.Random, frames: list[bytes]) -> list[bytes]:
    return frames + frames[: chance.randrange(len(frames) + 1)]


def _shuffle(chance: random.Random, frames: list[bytes]) -> list[bytes]:
    return chance.sample(frames, len(frames))


def _insert(chance: random.Random, frames: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(frames) + 1)
    return [*frames[:at], chance.randbytes(chance.randrange(300)), *frames[at:]]


def _stretch(chance: random.Random, frames: list[bytes]) -> list[bytes]:
    return [*frames[:-1], frames[-1] * chance.randrange(2, 5)] if frames else [b""]


_WAYS = (_flip, _flip, _flip, _cut, _lose, _repeat, _shuffle, _insert, _stretch)


def send_to(
    access: Access, domain: str, messages: Iterator[Sequence[bytes]], linger_ms: int = 0
) -> int:
    """Send all of these as one peer; gives how many could be sent.

    What was not, is given so much time in the end.
    """
    sent, kind = 0, zmq.XSUB if domain == "publisher" else zmq.DEALER
    with zmq.Context() as context, context.socket(kind) as dealer:
        dealer.setsockopt(zmq.LINGER, linger_ms)
        dealer.setsockopt(zmq.SNDHWM, 100)
        credentials = access.credentials
        if credentials is not None:
            dealer.setsockopt(zmq.CURVE_SERVERKEY, credentials.server)
            dealer.setsockopt(zmq.CURVE_SECRETKEY, credentials.secret)
            public = z85.encode(public_of(credentials.secret))
            dealer.setsockopt(zmq.CURVE_PUBLICKEY, z85.decode(public))
        dealer.connect(access.endpoint)
        for frames in messages:
            if not dealer.poll(PATIENCE_MS, zmq.POLLOUT):
                break  # who is refused waits for ever
            try:
                dealer.send_multipart(frames, zmq.NOBLOCK)
            except zmq.Again:
                break  # refused in between
            while dealer.poll(0):
                dealer.recv_multipart()
            sent += 1
    return sent


class Hostile:
    """A peer that sends mutations, in a process of its own: what it suffers harms no test."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pipe, there = spawning.Pipe()
        self._process = spawning.Process(target=_send_what_is_asked_for, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def send(self, access: Access, domain: str, seed: int, number: int) -> tuple[int, int]:
        """Send so many :func:`mutated` messages; gives how many were sent, of how many."""
        for _ in range(TRIES):
            self._pipe.send((access, domain, seed, number))
            try:
                sent, most = self._pipe.recv()
            except EOFError:  # ZeroMQ has ended a process that was refused while it closed
                self.close()
                self._start()
            else:
                return sent, most
        raise AssertionError(f"a hostile peer dies each time: {self._process.exitcode}")

    def close(self) -> None:
        """Have it end."""
        self._pipe.close()
        self._process.join()


def _send_what_is_asked_for(pipe: Connection) -> None:
    with suppress(EOFError):
        while True:
            access, domain, seed, number = pipe.recv()
            messages = list(mutated(seed, number))
            pipe.send((send_to(access, domain, iter(messages)), len(messages)))
