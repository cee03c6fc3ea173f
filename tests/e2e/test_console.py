"""What the runner shows, and to whom: files, pipes, terminals, other programs."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.cluster import SITE, run, site
from tests.e2e.stage import COMMANDS, Stage
from tests.e2e.targets import Target
from tests.e2e.terminals import Terminal, terminal
from tests.e2e.waiting import until


def test_a_file_gets_plain_lines_as_time_passes(stage: Stage, target: Target) -> None:
    """A line every five seconds of the run, for who reads the log of a build."""
    stage.write("test_slow.py", site("/slow/0.05"))
    result = run(stage, "test_slow", "-u", 4, "-d", 7, "--server-url", target.url)
    assert result.code == 0
    assert "\x1b" not in result.out + result.err
    assert "\r" not in result.out
    first, progress, blank, *report = result.out.splitlines()
    assert first == "4 users for 7 s"
    counts = r"4 users  \d+ tests  \d+ hits  [\d.]+ hits/s  p50 "
    assert re.match(rf"   [5-7] s  +\d+ %  {counts}", progress)
    assert blank == ""
    assert report[1] == f"Hits: {target.hits:,}"
    assert report[-1] == "Result: passed"


def test_quiet_prints_nothing_and_exits_right(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    stage.write("test_broken.py", site("/broken"))
    for test, code in (("test_site", 0), ("test_broken", 1)):
        options = ("--server-url", target.url, "--quiet")
        process = stage.start("runner", "loads-runner", test, *options)
        assert process.wait() == code
        assert (process.out, process.err) == ("", "")


def test_quiet_json_is_all_that_is_printed(stage: Stage, target: Target) -> None:
    """So that it can be piped into a program; even when the test itself prints."""
    stage.write("test_site.py", SITE + "            print('spam')\n")
    output = ("--quiet", "--output", "json", "--output-json-filename", "-")
    options = ("-u", 3, "--hits", 3, "--server-url", target.url)
    process = stage.start("runner", "loads-runner", "test_site", *options, *output)
    assert process.wait() == 0
    assert json.loads(process.out)["hits"]["total"] == target.hits == 9
    assert process.err.count("spam") == 9  # lines of two workers may run into each other


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_goes_away_gets_no_traceback(
    stage: Stage, target: Target, reader: str
) -> None:
    """What is closed is the standard output; the run has its exit status all the same."""
    stage.write("test_site.py", SITE)
    command = shlex.join(
        [str(COMMANDS / "loads-runner"), "test_site", "--hits", "50", "--server-url", target.url]
    )
    script = f"{command} | {reader}; exit ${{PIPESTATUS[0]}}"
    process = stage.start("shell", "bash", "-c", script)
    assert process.wait() == 0
    assert "Traceback" not in process.err
    assert "Exception" not in process.err
    assert target.hits == 50


def test_a_standard_output_that_is_closed(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    command = [str(COMMANDS / "loads-runner"), "test_site", "--server-url", target.url]
    process = stage.start("shell", "bash", "-c", f"exec {shlex.join(command)} >&-")
    assert process.wait() == 0
    assert "Traceback" not in process.err
    assert target.hits == 1


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("command", ["loads-runner", "loads-broker", "loads-agent"])
def test_commands_explain_themselves(stage: Stage, command: str, option: str) -> None:
    process = stage.start("help", command, option)
    assert process.wait() == 0
    assert command in process.out
    assert process.err == ""


# -- terminals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 40])
def test_a_terminal_shows_a_live_picture_and_then_the_report(
    stage: Stage, target: Target, columns: int
) -> None:
    stage.write("test_gate.py", site("/gate"))
    options = ("test_gate", "-u", 3, "--hits", 20, "--server-url", target.url)
    with terminal(stage, columns, *options) as shown:
        until(lambda: "\x1b[" in shown.raw and "3 users" in shown.text, "a live picture")
        target.open_gate()
        assert shown.wait() == 0
        lines = shown.text.splitlines()
        assert lines[-1] == "Result: passed"
        report = lines[max(i for i, line in enumerate(lines) if line.startswith("Duration:")) :]
        assert "Hits: 60" in report
        assert all(len(line) <= columns for line in report)
        assert shown.raw.rfind("\x1b[?25h") > shown.raw.rfind("\x1b[?25l"), "the cursor is back"


def test_ctrl_c_typed_on_a_terminal(stage: Stage, target: Target) -> None:
    """The key, and not the signal: the terminal sends it to the runner's whole process group."""
    stage.write("test_slow.py", site("/slow/2"))
    options = ("test_slow", "-u", 3, "--hits", 20, "--server-url", target.url)
    with terminal(stage, 80, *options) as shown:
        until(lambda: target.hits == 3, "all users under way")
        shown.type(b"\x03")
        until(lambda: "Press Ctrl-C again" in shown.text, "the notice")
        assert shown.wait() == 130
        assert "Success: 3" in shown.text
        assert shown.text.splitlines()[-1].startswith("Result: stopped")
        assert "Traceback" not in shown.text


def test_a_terminal_that_cannot_draw_gets_lines(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    command = shlex.join([str(COMMANDS / "loads-runner"), "test_site", "--server-url", target.url])
    with terminal(stage, 80, "--version") as shown:
        assert shown.wait() == 0
    shown = Terminal(stage, 80, ["bash", "-c", f"TERM=dumb exec {command}"])
    try:
        assert shown.wait() == 0
        assert "\x1b" not in shown.raw
        assert shown.text.splitlines()[-1] == "Result: passed"
    finally:
        shown.close()


class Tmux:
    """A tmux of the test's own, and what is on its screen."""

    def __init__(self, stage: Stage, columns: int, script: str) -> None:
        self._stage = stage
        self._socket = stage.root / "tmux"
        self("new-session", "-d", "-s", "it", "-x", str(columns), "-y", "40", "bash --norc")
        self("send-keys", "-t", "it", f"{script}; tmux -S {self._socket} wait-for -S over", "Enter")

    def __call__(self, *args: str) -> str:
        done = subprocess.run(
            ["tmux", "-f", "/dev/null", "-S", str(self._socket), *args],
            env={**self._stage.environment, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
            cwd=self._stage.project,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    @property
    def screen(self) -> str:
        return self("capture-pane", "-p", "-t", "it")

    def close(self) -> None:
        self("kill-server")


@pytest.mark.needs("tmux")
@pytest.mark.parametrize("columns", [80, 40])
def test_what_is_on_the_screen_of_a_real_terminal(
    stage: Stage, target: Target, columns: int
) -> None:
    """A bar and figures while it runs; the report alone, and nothing of them, when it is over."""
    stage.write("test_slow.py", site("/slow/0.05"))
    runner = shlex.join([str(COMMANDS / "loads-runner"), "test_slow", "-u", "4", "--hits", "40"])
    tmux = Tmux(stage, columns, f"clear; {runner} --server-url {target.url}")
    try:
        live = until(lambda: with_words(tmux, "4 users", "hits"), "a live picture")
        assert "Result:" not in live
        over = until(lambda: with_words(tmux, "Result: passed"), "the report")
        assert "Hits: 160" in over
        assert "Success: 160" in over
        assert over.count("hits/s") == 0, "the live picture is gone"
    finally:
        tmux.close()
    assert target.hits == 160


def with_words(tmux: Tmux, *words: str) -> str:
    """The screen, once it shows all of these words."""
    screen = tmux.screen
    return screen if all(word in screen for word in words) else ""


def test_the_marker_reaches_workers(stage: Stage, target: Target) -> None:
    """The proof that the proof works: a worker without a runner would be found."""
    stage.write("test_hang.py", site("/hang"))
    runner = stage.start("runner", "loads-runner", "test_hang", "--server-url", target.url)
    until(lambda: target.hits, "a hit")
    (worker,) = runner.workers
    assert worker in stage.survivors()
    assert Path(f"/proc/{worker}").exists()
    runner.signal(signal.SIGKILL)
    until(lambda: not stage.survivors(), "the end of the orphan")
