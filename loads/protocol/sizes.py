"""How large messages are.

What a peer sends is as small as what it has to say.  A body is measured before anything is made of
it: an empty map is one byte on the wire and 64 in memory, and a list may announce items by the
million.  So there is a limit for the bytes of each kind of message that a broker takes, one for the
items of each list and map in it, and one for all items together.

What a broker sends has none of these: only who has the broker's key can send it.
"""

from __future__ import annotations

from typing import NamedTuple

from loads.protocol import limits
from loads.protocol import messages as m

MAX_STRING = 4 * limits.MAX_TEXT  #: bytes of a text; four make the largest character of UTF-8
MAX_OVERHEAD = 1 << 10  #: bytes of a message beside its body: other frames, and their encryption
#: Bytes from which the items of a body are counted, which takes as long as to read it once more.
COUNTED = 1 << 16
MAX_COUNTED = 200_000  #: lists and maps of a body, and their items, together


class Size(NamedTuple):
    """Limits of a kind of message.

    ``body`` is in bytes, beside those of a ``bundle``; ``items`` are those of one list or map.
    """

    body: int
    items: int = 100
    bundle: int = 0

    @property
    def most(self) -> int:
        """The bytes of the largest body."""
        return self.body + self.bundle


_SMALL = Size(8 << 10)  # identifiers, numbers, and what a newer peer adds
_TEXTS = Size(1 << 18)
_WORKERS = Size(1 << 20, limits.MAX_WORKERS)

#: Sizes of what brokers are sent.  A worker has 4 MiB of texts to report about; what else a report
#: has are columns, of three to four bytes for each different latency of a series.
SIZES: dict[type[m.Message], Size] = {
    m.Register: _SMALL,
    m.Ready: _WORKERS,
    m.CannotRun: _TEXTS,
    m.Extended: _WORKERS,
    m.Report: Size(8 << 20, 10_000),
    m.Finished: _SMALL,
    m.LastWords: _SMALL,
    m.Bye: _TEXTS,
    m.Heartbeat: _SMALL,
    m.Ping: _SMALL,
    m.Submit: Size(4 << 20, 10_000, limits.MAX_BUNDLE),
    m.StopRun: _SMALL,
    m.GetRun: _SMALL,
    m.ListRuns: _SMALL,
    m.ListAgents: _SMALL,
    m.Purge: _SMALL,
}


def largest(kinds: tuple[type[m.Message], ...]) -> int:
    """The bytes of the largest message of some kinds that brokers are sent."""
    return max((SIZES[kind].most for kind in kinds), default=0) + MAX_OVERHEAD
