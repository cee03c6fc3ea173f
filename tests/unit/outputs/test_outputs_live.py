from __future__ import annotations

import io
import sys
from datetime import timezone

import pytest
from rich.cells import cell_len

from loads.clock import FakeClock
from loads.metrics.tally import Tally
from loads.outputs.console import ConsoleOutput
from loads.outputs.live import LiveConsole, Terminal, picture
from loads.outputs.stream import Stream
from tests.unit.outputs.run_views import BOXES, empty, ended, hit, plan_of, running, shop

UTC = timezone.utc


def drawn(view, width=80, height=24, encoding="utf-8") -> list[str]:
    """What a terminal of that size shows, line by line."""
    out = io.StringIO()
    console = Terminal(file=out, width=width, height=height, color_system=None)
    for line in picture(view, width, height, encoding):
        console.print(line)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_picture():
    bar = "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 58
    assert drawn(running()) == [
        f"running  {bar}  100 %  0:10",
        "10 users  200 tests  184 success  12 failures  3 errors  1 skipped",
        "200 hits  20.0 hits/s  p50 0.40 ms  p95 3.01 ms  p99 20.0 ms  5 hit errors",
        "",
        "      http://h:9000  Hits  Hits/s      p50      p95      p99  Errors",
        "GET   /               150    15.0  0.40 ms  0.40 ms  0.40 ms       0",
        "GET   /users/{n}       45     4.5  3.00 ms  3.00 ms  3.00 ms       5",
        "POST  /cart             5     0.5  20.0 ms  20.0 ms  20.0 ms       0",
    ]


def test_a_narrow_picture_has_fewer_columns():
    bar = "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 18
    assert drawn(running(), 40) == [
        f"running  {bar}  100 %  0:10",
        "10 users  200 tests  184 success",
        "12 failures  3 errors  1 skipped",
        "200 hits  20.0 hits/s  p50 0.40 ms",
        "p95 3.01 ms  p99 20.0 ms  5 hit errors",
        "",
        "      http://h:9000  Hits      p95",
        "GET   /               150  0.40 ms",
        "GET   /users/{n}       45  3.00 ms",
        "POST  /cart             5  20.0 ms",
    ]


def test_nothing_yet():
    assert drawn(empty()) == [
        "preparing  " + "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 56 + "    0 %  0:00",
        "0 users  0 tests  0 success  0 failures  0 errors  0 skipped",
        "0 hits  0 hits/s  p50 -  p95 -  p99 -  0 hit errors",
    ]


def test_what_is_left_is_said_when_time_decides():
    plan = plan_of(hits=(), duration=40)
    first, *_ = drawn(running(plan=plan), 46)
    assert first == "running  " + "━" * 3 + "─" * 10 + "   25 %  0:10  0:30 left"


def test_agents_lost_ones_first():
    lines = drawn(running(plan=plan_of(agents=3), agents=BOXES))
    assert lines[-4:] == [
        "Agent  Host  Workers  State    Hits    Unknown",
        "b2     box2        2  lost       60   up to 25",
        "c3     box3        2  lost       40  not known",
        "a1     box1        2  running   100          0",
    ]


def test_agents_of_a_local_run_are_shown_when_lost():
    assert "b2" not in "\n".join(drawn(running(agents=BOXES[:1])))
    assert "b2" in "\n".join(drawn(running(agents=BOXES[:2])))


def crowded() -> Tally:
    tally = shop()
    for number in range(60):
        hit(tally, f"http://h:9000/日本/{'long/' * 30}{number}", 5_000_000 + number, number + 1)
    return tally


@pytest.mark.parametrize("width", [1, 10, 20, 40, 80, 120, 300])
@pytest.mark.parametrize("height", [1, 2, 5, 10, 24, 100])
def test_a_picture_fits_its_terminal(width, height):
    view = running(
        plan=plan_of(agents=3), agents=BOXES * 10, tally=crowded(), warnings=("careful " * 50,)
    )
    lines = picture(view, width, height)
    assert 1 <= len(lines) <= max(1, height - 1)
    assert all(cell_len(line.plain) <= width for line in lines)


def test_rows_that_do_not_fit_are_counted():
    lines = drawn(running(tally=crowded()), 80, 10)
    assert len(lines) == 9
    assert lines[-1] == "... and 60 more"
    assert drawn(running(tally=crowded()), 80, 50)[-1] == "... and 48 more"


def test_only_trouble_is_coloured():
    tests, hits = picture(running(), 80, 24)[1:3]
    assert {str(span.style) for span in tests.spans} == {"green", "red", "yellow"}
    assert {str(span.style) for span in hits.spans} == {"red"}
    assert [line.spans for line in picture(empty(), 80, 24)[1:3]] == [[], []]


def test_users_text_is_shown_and_never_obeyed():
    tally = Tally()
    hit(tally, "[bold]\x1b[2J[/bold]", 10, method="\x07GET")
    view = running(tally=tally, warnings=("[red]\x1b]0;title",))
    text = "\n".join(drawn(view))
    assert "\\x07GET  [bold]\\x1b[2J[/bold]" in text
    assert "Warning: [red]\\x1b]0;title" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_a_picture_in_ascii():
    tally = shop()
    hit(tally, "http://h:9000/naïve", 10)
    text = "\n".join(drawn(running(tally=tally), encoding="ascii"))
    assert text.isascii()
    assert "#####" in text
    assert "/na\\xefve" in text


class Screen:
    """A live console on a terminal of 80 x 24 whose bytes are kept."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        self.clock = FakeClock()
        terminal = Terminal(
            file=self.file, force_terminal=True, width=80, height=24, color_system=None
        )
        self.live = LiveConsole(Stream(self.file), self.clock, terminal, UTC)

    def taken(self) -> str:
        text = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        return text


SHOW_CURSOR, HIDE_CURSOR, ALTERNATE = "\x1b[?25h", "\x1b[?25l", "\x1b[?1049h"


def test_a_run_from_start_to_report():
    screen = Screen()
    screen.live.start(empty())
    assert screen.taken().startswith("10 users, 20 times each = 200 tests in total\n" + HIDE_CURSOR)
    screen.clock.advance(0.25)
    screen.live.update(running())
    assert "GET   /users/{n}" in screen.taken()
    screen.live.finish(ended())
    text = screen.taken()
    assert SHOW_CURSOR in text
    assert ALTERNATE not in text
    report = text.partition(SHOW_CURSOR)[2]
    assert "\nDuration: 10.00 seconds\nHits: 200\n" in report
    assert report.endswith("\n\nResult: failed (12 failures, 3 errors)\n")
    screen.live.close()
    assert screen.taken() == ""


def test_at_most_four_pictures_a_second():
    screen = Screen()
    screen.live.start(empty())
    screen.taken()
    pictures = 0
    for _ in range(100):  # ten seconds
        screen.clock.advance(0.1)
        screen.live.update(running())
        pictures += bool(screen.taken())
    assert 30 <= pictures <= 40


def test_updates_with_a_little_jitter_are_all_drawn():
    screen = Screen()
    screen.live.start(empty())
    screen.taken()
    for step in (0.26, 0.24, 0.251, 0.249, 0.23):
        screen.clock.advance(step)
        screen.live.update(running())
        assert screen.taken()


def test_a_message_goes_above_the_picture():
    screen = Screen()
    screen.live.start(empty())
    screen.taken()
    screen.live.message("stopping: [b]waiting[/b]\x1b")
    text = screen.taken()
    assert text.index("stopping: [b]waiting[/b]\\x1b\n") < text.index("preparing")


def test_a_run_that_dies_leaves_its_last_picture_and_a_cursor():
    screen, stderr = Screen(), sys.stderr
    screen.live.start(empty())
    screen.taken()
    screen.live.close()
    text = screen.taken()
    assert "preparing" in text
    assert text.endswith(SHOW_CURSOR)
    assert sys.stderr is stderr
    screen.live.close()
    screen.live.update(running())
    assert screen.taken() == ""


def test_a_run_that_never_started_has_a_report():
    screen = Screen()
    screen.live.finish(ended())
    assert screen.taken().endswith("Result: failed (12 failures, 3 errors)\n")


def test_a_terminal_that_goes_away_raises():
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        ConsoleOutput(Gone(), live=True).start(empty())
