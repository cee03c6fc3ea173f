from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import timezone
from pathlib import Path

import pytest

from loads.outputs.base import Outputs
from loads.outputs.console import ConsoleOutput, can_draw
from loads.outputs.plain import PlainConsole, progress_line
from loads.outputs.report import report
from loads.outputs.stream import Stream
from tests.unit.outputs.run_views import BOXES, empty, ended, hit, plan_of, running, shop

ROOT = Path(__file__).parents[3]
UTC = timezone.utc
PLAN = "10 users, 20 times each = 200 tests in total\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("file", "environ", "drawn"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (None, {"TERM": "xterm"}, False),
    ],
)
def test_it_draws_on_terminals_that_can(file, environ, drawn):
    assert can_draw(Stream(file), environ) is drawn


def test_a_line_of_progress():
    assert progress_line(running()) == (
        "  10 s  100 %  10 users  200 tests (12 failures, 3 errors)  200 hits  20.0 hits/s"
        "  p50 0.40 ms  p95 3.01 ms  p99 20.0 ms  5 hit errors"
    )
    assert progress_line(empty(elapsed=1234.5)) == (
        "1,234 s    0 %  0 users  0 tests  0 hits  0 hits/s  p50 -  p95 -  p99 -  0 hit errors"
    )


def test_plain_lines_come_every_five_seconds_of_the_run():
    out = io.StringIO()
    console = PlainConsole(Stream(out), UTC)
    console.start(empty())
    for quarter in range(70):
        console.update(running(elapsed=quarter / 4))
    console.message("stopping: waiting for running tests\x1b")
    first, *lines, last = out.getvalue().splitlines()
    assert first + "\n" == PLAN
    assert [line[:6] for line in lines] == ["   5 s", "  10 s", "  15 s"]
    assert last == "stopping: waiting for running tests\\x1b"


def test_a_gap_is_followed_by_one_line():
    out = io.StringIO()
    console = PlainConsole(Stream(out))
    for elapsed in (17.0, 18.0, 19.9, 20.0):
        console.update(running(elapsed=elapsed))
    assert [line[:6] for line in out.getvalue().splitlines()] == ["  17 s", "  20 s"]


def test_the_report_ends_plain_output():
    out = io.StringIO()
    PlainConsole(Stream(out), UTC).finish(ended())
    assert out.getvalue() == "\n" + "\n".join(report(ended(), zone=UTC)) + "\n"


def test_each_line_is_flushed():
    class Counting(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    out = Counting()
    console = ConsoleOutput(out)
    console.start(empty())
    console.message("x")
    console.close()
    assert out.flushed == 2


def test_plain_output_in_ascii():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    tally = shop()
    hit(tally, "http://h/日本", 1)
    ConsoleOutput(out).finish(ended(tally=tally))
    assert b"http://h/\\u65e5\\u672c" in raw.getvalue()


def test_a_pipe_that_breaks_is_one_warning():
    reading, writing = os.pipe()
    os.close(reading)
    stderr = io.StringIO()
    with open(writing, "w") as out:
        outputs = Outputs([("console", ConsoleOutput(out))], stderr)
        outputs.start(empty())
        outputs.finish(ended())
    assert stderr.getvalue() == "warning: the output console failed and is left out: Broken pipe\n"


@pytest.mark.parametrize("target", ["a closed pipe", "/dev/full"])
def test_python_has_nothing_to_add_at_exit(target):
    if target == "/dev/full" and not os.path.exists(target):
        pytest.skip("this system has no /dev/full")
    program = (
        "from loads.outputs.base import Outputs\n"
        "from loads.outputs.console import ConsoleOutput\n"
        "from loads.metrics.summary import RunView\n"
        "from loads.plan import RunPlan\n"
        "view = RunView('r', RunPlan('a.b'))\n"
        "with Outputs([('console', ConsoleOutput())]) as outputs:\n"
        "    outputs.start(view); outputs.finish(view)\n"
    )
    if target == "/dev/full":
        writing = os.open(target, os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: the output console failed and is left out: ")
    assert done.stderr.count("\n") == 1


def test_agents_are_in_the_plan_line():
    out = io.StringIO()
    ConsoleOutput(out).start(empty(plan=plan_of(agents=3), agents=BOXES))
    assert out.getvalue().startswith("3 agents x 10 users, 20 times each = 600 tests in total")
