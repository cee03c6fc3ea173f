"""What a worker becomes when its agent is dead: a program that says how much it had done.

The recorder's memory is all that is left of the worker.  What was recorded in it goes to the broker
as totals, with the agent's own access, because the broker waits for that agent and takes no part of
its run from another.  What the worker had reported is in those totals as well: what was not, and
what was under way, is what the result has to say that it does not know.

Theory of operation: the agent gives each worker an :class:`Errand` in a descriptor, which nobody
else can open, as the access may hold a secret key.  The words are repeated until the broker answers
that it is done with this, or some seconds have passed.  If they are not heard, nothing is worse
than without them: the broker misses the agent, and does not know what its workers did.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass

from loads.clock import Clock, SystemClock
from loads.errors import LoadsError, RemoteProtocolError
from loads.metrics.series import TEST
from loads.processes import end_others_in_group, has_group_of_its_own
from loads.protocol import messages as m
from loads.protocol.codec import VersionMismatch
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader
from loads.transport.sockets import Dealer
from loads.transport.tokens import Access, make_token, read_token

PATIENCE = 10.0  #: seconds for which the words are repeated
REPEAT = 1.0  #: seconds between two times


@dataclass(frozen=True)
class Errand:
    """Whose last words are to be said, and to whom.

    ``backend`` is the broker's, with what opens it; ``scratch`` is the directory to be removed
    afterwards, if it is not empty.
    """

    run_id: str
    agent_id: str
    worker: str
    backend: Access
    scratch: str

    def pack(self) -> bytes:
        """As it is handed to a worker."""
        locked = self.backend.credentials is not None
        return json.dumps(
            {
                "run_id": self.run_id,
                "agent_id": self.agent_id,
                "worker": self.worker,
                "at": self.backend.endpoint,
                "token": make_token(self.backend) if locked else "",
                "scratch": self.scratch,
            }
        ).encode()

    @classmethod
    def unpack(cls, text: bytes) -> Errand:
        """The inverse of :meth:`pack`."""
        said = json.loads(text)
        backend = read_token(said["token"]) if said["token"] else Access(said["at"])
        return cls(said["run_id"], said["agent_id"], said["worker"], backend, said["scratch"])


def words(errand: Errand, memory: Memory) -> m.LastWords:
    """What is to be said about a worker that has left this memory."""
    reader = RecorderReader(memory)
    tally = reader.read()
    tests = sum(tally.outcomes(TEST).values())
    return m.LastWords(
        errand.run_id, errand.agent_id, errand.worker, tally.hits, tests, reader.under_way
    )


def say(said: m.LastWords, backend: Access, clock: Clock) -> bool:
    """Say it until the broker is done with it; whether it was heard."""
    socket = Dealer(m.TO_AGENT)
    deadline = clock.monotonic() + PATIENCE
    try:
        socket.dial(backend, "backend")
        while (now := clock.monotonic()) < deadline:
            socket.send(said)
            answer = _answer(socket, clock, min(now + REPEAT, deadline))
            if isinstance(answer, m.Release | m.Rejected):
                return isinstance(answer, m.Release)
    except LoadsError:  # we are not let in, and nobody is here who could be told
        return False
    finally:
        socket.close(linger=False)
    return False


def _answer(socket: Dealer, clock: Clock, until: float) -> m.Message | None:
    """What the broker says, if that is something before ``until``."""
    while socket.wait(max(0.0, until - clock.monotonic())):
        try:
            return socket.receive()
        except VersionMismatch:
            raise
        except RemoteProtocolError:
            continue  # garbage is nobody's answer
    return None


def _close_all_but(kept: set[int]) -> None:
    """What the test has left open in us, for others to inherit, is open no longer."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in kept:
            with suppress(OSError):  # the one that has read this list
                os.close(fd)


def main(errand_fd: int, memory_fd: int) -> None:
    """Do what the first descriptor says, for the worker that left the second."""
    _close_all_but({errand_fd, memory_fd})
    if has_group_of_its_own():
        end_others_in_group()  # what was started while the worker looked for others
    errand = Errand.unpack(os.pread(errand_fd, os.fstat(errand_fd).st_size, 0))
    try:
        say(words(errand, Memory.inherited(memory_fd)), errand.backend, SystemClock())
    finally:
        if errand.scratch:
            shutil.rmtree(errand.scratch, ignore_errors=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
