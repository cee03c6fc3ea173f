"""Amounts as people write them: sizes and ages, as types of options."""

from __future__ import annotations

import re

import click

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_POWERS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_BYTES = {power + unit: 1 << bits for power, bits in _POWERS.items() for unit in ("", "b", "ib")}
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def size(text: str) -> int:
    """``500MB``, ``2g`` or ``1GiB`` in bytes, by powers of 1024; a number alone is bytes.

    Raises ``click.BadParameter``.
    """
    return int(_amount(text, _BYTES, "size", "500MB or 2GB"))


def age(text: str) -> float:
    """``90d``, ``12h`` or ``4w`` in seconds.  Raises ``click.BadParameter``."""
    return _amount(text, _SECONDS, "age", "90d, 12h or 4w")


def _amount(text: str, units: dict[str, int], what: str, example: str) -> float:
    match = _AMOUNT.fullmatch(text.strip().lower())
    if match is None or match[2] not in units:
        raise click.BadParameter(f"{text!r} is no {what}. Give it as in {example}.")
    return float(match[1]) * units[match[2]]
