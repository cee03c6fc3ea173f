"""Numbers, columns and streams: what the consoles are made of."""

from __future__ import annotations

import io
import os

import pytest

from loads.outputs import figures
from loads.outputs.layout import Cell, Column, flow, joined, table, tail, width_of
from loads.outputs.stream import Stream, visible


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (None, "-"),
        (0, "0 us"),
        (41, "41 us"),
        (99.4, "99 us"),
        (99.5, "0.10 ms"),
        (400, "0.40 ms"),
        (1_234, "1.23 ms"),
        (9_949, "9.95 ms"),
        (9_951, "10.0 ms"),
        (12_345, "12.3 ms"),
        (99_949, "99.9 ms"),
        (99_951, "100 ms"),
        (999_499, "999 ms"),
        (999_501, "1.00 s"),
        (9_995_001, "10.0 s"),
        (99_950_001, "100 s"),
        (3_600_000_000, "3,600 s"),
    ],
)
def test_a_latency_keeps_its_digits_at_any_size(microseconds, text):
    assert figures.latency(microseconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.04, "0.0"), (3.14, "3.1"), (99.96, "100"), (12345.6, "12,346")],
)
def test_a_rate(number, text):
    assert figures.rate(number) == text


def test_a_percentage_is_not_rounded_up():
    assert [figures.percent(s) for s in (0, 0.29, 0.999, 1)] == ["0 %", "29 %", "99 %", "100 %"]


def test_clock_and_counts():
    assert [figures.clock(s) for s in (0, 67.9, 3723)] == ["0:00", "1:07", "1:02:03"]
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 112, 1003)
    assert " ".join(map(figures.ordinal, numbers)) == (
        "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 101st 112th 1,003rd"
    )
    assert figures.counted(1, "hit") == "1 hit"
    assert figures.counted(2_000, "hit") == "2,000 hits"
    assert figures.counted(3, "success", "success") == "3 success"


def test_widths():
    assert [width_of(text) for text in ("abc", "日本", "e\u0301")] == [3, 4, 1]
    assert tail("http://host/path", 9) == "...t/path"
    assert tail("日本日本", 6) == "...本"
    assert tail("abc", 3) == "abc"


def columns() -> list[Column]:
    return [
        Column("Name", [Cell("http://h/first"), Cell("b")], elastic=True, right=False),
        Column("Hits", [Cell("1,000"), Cell("2", "red")]),
        Column("p95", [Cell("1.20 ms"), Cell("41 us")], rank=2),
        Column("Errors", [Cell("0"), Cell("1")], rank=1),
    ]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            None,
            [
                "Name             Hits      p95  Errors",
                "http://h/first  1,000  1.20 ms       0",
                "b                   2    41 us       1",
            ],
        ),
        (
            37,
            [
                "Name            Hits      p95  Errors",
                "...://h/first  1,000  1.20 ms       0",
                "b                  2    41 us       1",
            ],
        ),
        (
            28,
            [
                "Name            Hits  Errors",
                "...://h/first  1,000       0",
                "b                  2       1",
            ],
        ),
        (20, ["Name            Hits", "...://h/first  1,000", "b                  2"]),
    ],
)
def test_a_table_drops_columns_rather_than_wrap(width, lines):
    rows = table(columns(), width)
    assert [joined(row) for row in rows] == lines
    assert rows[2][1].style == "red"


def test_a_flow_breaks_between_its_parts():
    cells = [Cell("aaa"), Cell("bbb"), Cell("cccccccccc"), Cell("d")]
    assert [joined(line) for line in flow(cells, 8)] == ["aaa  bbb", "cccccccccc", "d"]
    assert [joined(line) for line in flow(cells)] == ["aaa  bbb  cccccccccc  d"]
    assert flow([], 8) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [red]text[/red]", "plain [red]text[/red]"),
        ("\x1b[31m\x07\r\n\t", "\\x1b[31m\\x07\\r\\n\\t"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("left\u202eright\u200b", "left\\u202eright\\u200b"),
        ("\udcff", "\\udcff"),
        ("naïve 日本", "naïve 日本"),
    ],
)
def test_nothing_acts_on_a_terminal(text, shown):
    assert visible(text) == shown


def test_what_an_encoding_lacks_is_escaped():
    assert visible("naïve ━", "ascii") == "na\\xefve \\u2501"
    assert visible("naïve ━", "latin-1") == "naïve \\u2501"


def test_a_stream_writes_what_its_encoding_can():
    raw = io.BytesIO()
    stream = Stream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("naïve\n")
    stream.flush()
    assert raw.getvalue() == b"na\\xefve\n"


def test_no_file_is_silence():
    stream = Stream(None)
    stream.write("x")
    stream.flush()
    assert not stream.isatty()
    with pytest.raises(OSError, match="no file"):
        stream.fileno()


def test_a_broken_file_is_given_up():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as file:
        stream = Stream(file)
        stream.write("x")
        with pytest.raises(BrokenPipeError):
            stream.flush()
        stream.flush()  # what Python does with standard output at exit; nothing is raised
