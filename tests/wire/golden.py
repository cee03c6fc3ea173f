"""Golden bytes as text: readable in a review, and exact.

A file holds the frames of one message.  Each frame opens with a line ``frame N: L bytes``; every
line below it has an offset, up to 16 bytes in hexadecimal, and the same bytes as ASCII, in which
a point stands for what is not printable.  Only the hexadecimal is read back.
"""

from __future__ import annotations

from pathlib import Path

from loads.protocol.codec import VERSION
from loads.protocol.messages import Message

DIRECTORY = Path(__file__).parent / f"v{VERSION}"
_WIDTH = 16


def path_of(kind: type[Message], directory: Path = DIRECTORY) -> Path:
    """Where the golden bytes of a kind are."""
    return directory / f"{kind.__name__.lower()}.hex"


def dump(frames: list[bytes]) -> str:
    """Frames as text."""
    lines: list[str] = []
    for number, frame in enumerate(frames, 1):
        lines.append(f"frame {number}: {len(frame)} bytes")
        for at in range(0, len(frame), _WIDTH):
            row = frame[at : at + _WIDTH]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            lines.append(f"  {at:04x}  {row.hex(' '):<{3 * _WIDTH - 1}}  {text}".rstrip())
    return "\n".join(lines) + "\n"


def load(text: str) -> list[bytes]:
    """The frames of :func:`dump`'s text."""
    frames: list[bytes] = []
    lengths: list[int] = []
    for line in text.splitlines():
        if line.startswith("frame "):
            frames.append(b"")
            lengths.append(int(line.split()[2]))
        else:
            frames[-1] += bytes.fromhex(line[8 : 8 + 3 * _WIDTH - 1])
    if lengths != [len(frame) for frame in frames]:
        raise ValueError("a frame is not as long as its first line says")
    return frames
