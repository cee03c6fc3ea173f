"""Arranges short texts in lines and columns of a given width.

A width is in terminal cells; None is a file, where nothing has to fit.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

GAP = "  "


class Cell(NamedTuple):
    """A text and how it is drawn on a terminal, in rich's words: ``red``, ``bold``, nothing."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    When a table is too wide, the columns of the highest ``rank`` go first; those of rank 0 stay.
    The one ``elastic`` column of a table is cut before it would be wider than what is left.
    """

    title: str
    cells: Sequence[Cell]
    rank: int = 0
    elastic: bool = False
    right: bool = True

    @property
    def width(self) -> int:
        return max(width_of(text) for text in (self.title, *(cell.text for cell in self.cells)))


def width_of(text: str) -> int:
    """How many terminal cells a printable text takes (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def tail(text: str, width: int, ellipsis: str = "...") -> str:
    """``text`` cut at its front to ``width``: what tells two URLs apart is at their end."""
    if width_of(text) <= width:
        return text
    kept = text
    while kept and width_of(kept) > width - width_of(ellipsis):
        kept = kept[1:]
    return (ellipsis + kept) if kept else ellipsis[:width]


def table(
    columns: Sequence[Column], width: int | None = None, ellipsis: str = "..."
) -> list[list[Cell]]:
    """The lines of a table, its titles first, as padded cells to be joined by :data:`GAP`."""
    kept = _narrowed(list(columns), width)
    widths = [column.width for column in kept]
    if width is not None:
        for index, column in enumerate(kept):
            if column.elastic:
                room = width - sum(widths) - len(GAP) * (len(kept) - 1) + widths[index]
                widths[index] = min(widths[index], max(room, len(ellipsis) + 1))
    lines = []
    for row in range(-1, len(kept[0].cells) if kept else -1):
        line = []
        for column, wide in zip(kept, widths, strict=True):
            cell = column.cells[row] if row >= 0 else Cell(column.title, "bold")
            text = tail(cell.text, wide, ellipsis) if column.elastic else cell.text
            space = " " * (wide - width_of(text))
            line.append(Cell(space + text if column.right else text + space, cell.style))
        lines.append(line)
    return lines


def _narrowed(columns: list[Column], width: int | None) -> list[Column]:
    if width is None:
        return columns
    # An elastic column that is cut to less than this says nothing any more.
    least = max(12, width * 3 // 10)
    while columns:
        needed = sum(min(c.width, least) if c.elastic else c.width for c in columns)
        first_to_go = max(columns, key=lambda column: column.rank)
        if needed + len(GAP) * (len(columns) - 1) <= width or not first_to_go.rank:
            break
        columns.remove(first_to_go)
    return columns


def flow(cells: Sequence[Cell], width: int | None = None) -> list[list[Cell]]:
    """``cells`` one after the other, in as many lines as it takes; none is broken."""
    lines: list[list[Cell]] = [[]]
    used = 0
    for cell in cells:
        wide = width_of(cell.text)
        if lines[-1] and width is not None and used + len(GAP) + wide > width:
            lines.append([])
        used = wide + (used + len(GAP) if lines[-1] else 0)
        lines[-1].append(cell)
    return lines if cells else []


def joined(line: Sequence[Cell], indent: str = "") -> str:
    """A line as plain text."""
    return (indent + GAP.join(cell.text for cell in line)).rstrip()
