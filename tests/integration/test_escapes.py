"""What others say is shown as text: it moves no cursor, sets no title, and adds no line."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from loads.cli import run
from loads.cli.common import complain
from loads.cli.inquiry import tell
from loads.clients import trace
from loads.errors import LoadsError
from loads.metrics.summary import RunView
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.codec import encode
from loads.protocol.rows import AgentRow, RunRow
from tests.integration.frontends import frontend

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[1;1H\r\nError: none\x9b1A\u202e"
VIEW = RunView(EVIL, RunPlan("test_site"), state="ended", status="stopped", error=EVIL)


def harmless(shown: str) -> bool:
    """Whether nothing of it acts on a terminal, and it was not left out."""
    shown = shown.replace("\x1b[31mError:\x1b[0m", "Error:")  # in our own colour
    return "owned" in shown and all(char.isprintable() or char == "\n" for char in shown)


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOADS_HOME", str(tmp_path / "home"))


def test_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    complain(LoadsError(EVIL, f"One line.\n{EVIL}"))
    shown = capfd.readouterr().err
    assert harmless(shown)
    assert shown.count("owned") == 2
    assert not [line for line in shown.splitlines()[1:] if line.startswith("Error")]


def answers(question: m.Request) -> Sequence[list[bytes]]:
    """A broker that says nothing else."""
    number = question.request
    row = RunRow(EVIL, EVIL, EVIL, "running", "", 0.0, 0.0, 0.0, 0.0, 1, 1, 0, 0, EVIL)
    agent = AgentRow(EVIL, EVIL, 1, 1, 1, 0.0, EVIL, 1, EVIL, EVIL, 0.0)
    reply = {
        m.Ping: m.Pong(number, EVIL, f"ipc:///b{EVIL}", f"ipc:///p{EVIL}", 1, 1, 0),
        m.Purge: m.Purged(number, (EVIL,)),
        m.ListRuns: m.RunList(number, (row, row)),
        m.ListAgents: m.AgentList(number, (agent,)),
        m.StopRun: m.RunSnapshot(number, 1, VIEW),
        m.GetRun: m.Refused(number, 2, EVIL, EVIL),
        m.Submit: m.Accepted(number, EVIL),
    }[type(question)]
    return [encode(reply)]


@pytest.mark.parametrize(
    "options",
    [
        "--ping-broker",
        "--purge-broker",
        "--list-runs",
        "--list-agents",
        "--stop r1",
        "--attach r1",
        "--attach",
        "test_site --detach -a 1",
        "test_site --detach -a 1 --quiet",
    ],
)
def test_what_a_broker_says(short: Path, options: str) -> None:
    Path("test_site.py").write_text("def test_home(): pass\n")
    with frontend(short, answers) as endpoint:
        words = [*options.split(), "--broker", endpoint]
        result = CliRunner().invoke(run.main, words, color=True)
    assert harmless(result.output), repr(result.output)


def test_what_an_observer_complains_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its process can say anything, and so can those that it talks to: here it is not known."""
    tell((m.Wish(EVIL, ()),), VIEW)
    assert harmless(capfd.readouterr().err)


def test_what_a_target_answers() -> None:
    """With ``-vv`` it is shown."""
    request = requests.Request("GET", "http://localhost/", headers={"a": "b"}).prepare()
    answer = requests.Response()
    answer.status_code, answer.reason = 200, EVIL
    answer.headers["Title"] = EVIL
    answer._content, answer._content_consumed = EVIL.encode() + b"\n\tindented", True
    for what in (answer, ValueError(EVIL)):
        shown = io.StringIO()
        trace.show(request, what, 0.1, shown)
        assert harmless(shown.getvalue()), repr(shown.getvalue())
