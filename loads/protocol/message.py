"""What all messages have in common."""

from __future__ import annotations


class Message:
    """Base of all messages."""

    __slots__ = ()
