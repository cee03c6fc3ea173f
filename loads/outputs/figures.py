"""Numbers as people read them."""

from __future__ import annotations

# A latency below the first number of a row, in microseconds, is divided by the second and
# shown with so many digits.  The bounds are where rounding would carry into the next row.
_LATENCIES = (
    (99.5, 1.0, 0, "us"),
    (9_950.0, 1e3, 2, "ms"),
    (99_950.0, 1e3, 1, "ms"),
    (999_500.0, 1e3, 0, "ms"),
    (9_995_000.0, 1e6, 2, "s"),
    (99_950_000.0, 1e6, 1, "s"),
    (float("inf"), 1e6, 0, "s"),
)


def latency(microseconds: float | None) -> str:
    """Microseconds in a unit that keeps at least two digits: ``41 us``, ``0.41 ms``, ``1.23 s``.

    ``-`` when there is no such number.
    """
    if microseconds is None:
        return "-"
    for bound, divisor, digits, unit in _LATENCIES:
        if microseconds < bound:
            return f"{microseconds / divisor:,.{digits}f} {unit}"
    return "-"


def rate(per_second: float) -> str:
    """A number per second: whole from 100 on, else with one decimal; zero is ``0``."""
    if per_second == 0:
        return "0"
    return f"{per_second:,.0f}" if per_second >= 99.95 else f"{per_second:.1f}"


def percent(share: float) -> str:
    """A share of 1; 100 % is said of the whole only, never of what is nearly all."""
    return f"{int(share * 100 + 1e-9)} %"


def counted(number: int, one: str, many: str = "") -> str:
    """``1 hit``, ``2,000 hits``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``, ``22nd``."""
    suffixes = {1: "st", 2: "nd", 3: "rd"}
    teens = 11 <= number % 100 <= 13
    return f"{number:,}{'th' if teens else suffixes.get(number % 10, 'th')}"


def clock(seconds: float) -> str:
    """Seconds as ``0:07``, ``12:34`` or ``1:02:03``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
