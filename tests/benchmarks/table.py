"""What was measured, as text: medians, and medians of the ratios within a round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from tests.benchmarks.cases import CASES
from tests.benchmarks.http import Reading

OURS = "loads"
BUDGETS = {"wrk": 0.5, "hey": 1.3, "locust-fast": 6.5, "locust-http": 25, "k6": 3.5}
OTHER_BUDGETS = {"hey": 1.0, "k6": 1.0}  #: in all but the first case
KEYS_BUDGET = 1.05

_HEAD = ("generator", "requests/s", "per CPU second", "target busy", "Loads is", "by CPU", "budget")


def report(results: dict[str, Any]) -> str:
    """All that was measured.  What was not is left out."""
    found = [("", [_machine(results)])]
    if "http" in results:
        found.append(("HTTP", [tables([Reading(**packed) for packed in results["http"]])]))
    found += [
        (title, render(results[name])) for name, title, render in _SECTIONS if results.get(name)
    ]
    if results["problems"]:
        found.append(("Problems", ["\n".join(results["problems"])]))
    return "\n\n\n".join(
        "\n\n".join([f"{title}\n{'=' * len(title)}", *parts] if title else parts)
        for title, parts in found
    )


def _machine(results: dict[str, Any]) -> str:
    machine = results["machine"]
    text = (
        f"{results['when']}; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']:g} GB; {machine['system']}; Python {machine['python']}; "
        f"load before: {machine['load_before']:g}"
    )
    versions = [f"{name} {version}" for name, version in results.get("versions", {}).items()]
    return "\n".join([text, ", ".join(versions)] if versions else [text])


def _websockets(found: dict[str, Any]) -> list[str]:
    parts = []
    if found["round_trips"]:
        rates, per_cpu, busy = (
            median(each[name] for each in found["round_trips"])
            for name in ("rate", "per_cpu", "target_busy")
        )
        parts.append(
            f"Round trips: {rates:,.0f}/s, {per_cpu:,.0f} per CPU second; the echo server was "
            f"{busy:.0%} busy."
        )
    parts += _growth(found["idle"], "idle sockets", "socket")
    return ["\n".join(parts)]


def _memory(found: dict[str, int]) -> list[str]:
    return ["\n".join(_growth(found, "users", "user"))]


def _growth(sizes: dict[str, int], many: str, one: str) -> list[str]:
    """The sizes of a worker, and what each thing in it takes: the slope above the smallest."""
    parts, least = [], min(map(int, sizes), default=0)
    for number, size in ((int(name), size) for name, size in sizes.items()):
        text = f"A worker with {number:,} {many}: {size / 2**20:,.1f} MB"
        if number > least:
            each = (size - sizes[str(least)]) / (number - least)
            text += f", {each / 1024:.1f} KB for each {one} (budget: 20 KB)"
        parts.append(text)
    return parts


def _startup(found: dict[str, float]) -> list[str]:
    rows = [(name, f"{1000 * seconds:,.0f} ms") for name, seconds in found.items()]
    return [lines(("one request, start to exit", "median"), rows), "Budget of Loads: 600 ms."]


def _workers(found: dict[str, Any]) -> list[str]:
    rounds = found["rounds"]
    rows = [
        (
            workers,
            f"{median(each[workers]['rate'] for each in rounds):,.0f}",
            f"{median(each[workers]['per_cpu'] for each in rounds):,.0f}",
        )
        for workers in ("1", "2")
    ]
    what = "rate" if found["apart"] else "per_cpu"
    scaling = median(each["2"][what] / each["1"][what] for each in rounds)
    note = f"Two workers did {scaling:.2f} times what one did."
    if not found["apart"]:
        note = (
            "Target and workers share their cores here, so only processor time can be compared: "
            f"two workers did {2 * scaling:.2f} times what one did, by the CPU second."
        )
    return [lines(("workers", "requests/s", "per CPU second"), rows), note]


def _keys(found: list[dict[str, list[float]]]) -> list[str]:
    rows = [
        (
            f"{kind} broker",
            f"{median(each[kind][0] for each in found):,.1f}",
            f"{median(each[kind][2] for each in found):,.2f}",
            f"{median(each[kind][1] for each in found):,.0f}",
        )
        for kind in ("open", "locked")
    ]
    ratio = median(each["locked"][0] / each["open"][0] for each in found)
    return [
        lines(("one agent on tcp", "us of CPU/hit", "of broker and agent", "hits/s"), rows),
        f"With keys, {ratio:.3f} of the processor time (budget: {KEYS_BUDGET}).",
    ]


_SECTIONS = (
    ("websockets", "Web sockets", _websockets),
    ("memory", "Memory", _memory),
    ("startup", "Start-up", _startup),
    ("workers", "All cores", _workers),
    ("keys", "Keys", _keys),
    ("broker", "Broker", lambda text: [text.rstrip()]),
)


def tables(readings: Sequence[Reading]) -> str:
    """A table for each case that was measured."""
    parts = []
    for case in CASES:
        own = [reading for reading in readings if reading.case == case.name]
        if own:
            rounds = max(reading.round for reading in own)
            title = f"{case.title}; {case.users:,} users, rounds: {rounds}"
            parts.append(f"{title}\n{lines(_HEAD, _rows(own))}{_notes(own)}")
    return "\n\n".join(parts)


def lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text; the first column is words, the others are figures."""
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def ratios(readings: Sequence[Reading], peer: str, figure: str = "rate") -> list[float]:
    """How many times as fast as ``peer`` Loads was, in each round that both were measured in."""
    rates = {(r.round, r.peer): getattr(r, figure) for r in readings if not r.error}
    pairs = [(rates.get((n, OURS)), rates.get((n, peer))) for n in {r.round for r in readings}]
    return [ours / theirs for ours, theirs in pairs if ours and theirs]


def _rows(own: Sequence[Reading]) -> Iterable[Sequence[str]]:
    budgets = BUDGETS if own[0].case == CASES[0].name else OTHER_BUDGETS
    for peer in dict.fromkeys(reading.peer for reading in own):
        good = [reading for reading in own if reading.peer == peer and not reading.error]
        if not good:
            yield (peer, *["-"] * (len(_HEAD) - 1))
            continue
        ratio, by_cpu = (_ratio(own, peer, figure) for figure in ("rate", "per_cpu"))
        yield (
            peer,
            f"{median(reading.rate for reading in good):,.0f}",
            f"{median(reading.per_cpu for reading in good):,.0f}",
            f"{median(reading.target_busy for reading in good):.0%}",
            f"{ratio:.2f} x" if ratio else "",
            f"{by_cpu:.2f} x" if by_cpu else "",
            _verdict(ratio, budgets.get(peer)),
        )


def _ratio(own: Sequence[Reading], peer: str, figure: str) -> float | None:
    found = ratios(own, peer, figure) if peer != OURS else []
    return median(found) if found else None


def _verdict(ratio: float | None, budget: float | None) -> str:
    if ratio is None or budget is None:
        return ""
    return f"{budget:g} x: {'kept' if ratio >= budget else 'missed'}"


def _notes(own: Sequence[Reading]) -> str:
    """What failed, once for each generator, and whether Loads counted what the target did."""
    notes = [
        f"{peer}: {error}" for peer, error in {r.peer: r.error for r in own if r.error}.items()
    ]
    counted = [reading for reading in own if reading.reported is not None]
    wrong = [reading for reading in counted if reading.reported != reading.served]
    notes += [
        f"{r.peer}, round {r.round}: {r.served:,} served, {r.reported:,} reported" for r in wrong
    ]
    if counted and not wrong:
        total = sum(reading.served or 0 for reading in counted)
        notes.append(f"Counts: {total:,} requests served, and as many reported by Loads.")
    return "".join(f"\n{note}" for note in notes)
