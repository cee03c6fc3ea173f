"""Lists of runs, agents and checks, as people and programs read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loads.cli import listing
from loads.config import Configuration, Setting, Source
from loads.errors import LoadsError
from loads.outputs.layout import joined, table
from loads.protocol.rows import AgentRow, RunRow
from loads.runners.checkup import Health


def run(run_id: str = "3f2a", **fields) -> RunRow:
    row = {
        "target": "test_shop", "description": "1 user", "state": "running", "status": "",
        "submitted": 0.0, "started": 0.0, "ended": 0.0, "duration": 67.0, "agents": 2,
        "users": 1500, "hits": 1_234_567, **fields,
    }  # fmt: skip
    return RunRow(run_id, **row)


def agent(agent_id: str, **fields) -> AgentRow:
    row = {
        "host": "box", "pid": 1, "cores": 8, "workers": 8, "load": 0.5, "version": "2.0",
        "protocol": 1, "state": "idle", "run_id": "", "since": 0.0, **fields,
    }  # fmt: skip
    return AgentRow(agent_id, **row)


def lines(columns, width=None) -> list[str]:
    return [joined(line) for line in table(columns, width)]


def output(*items: str, filename: str = "-") -> Configuration:
    return Configuration(
        {
            "output": Setting(items, Source.COMMAND_LINE, "--output"),
            "output-json-filename": Setting(filename, Source.COMMAND_LINE, "--x"),
        }
    )


def test_runs():
    rows = [run(user_id="alice"), run("77aa", state="queued", place=12, hits=0), run("88bb",
            state="ended", status="incomplete")]  # fmt: skip
    assert lines(listing.run_columns(rows)) == [
        "Run   State         Test       Agents  Users       Hits  Submitted  Duration  By",
        "3f2a  running       test_shop       2  1,500  1,234,567  -              1:07  alice",
        "77aa  queued, 12th  test_shop       2  1,500          0  -              1:07  -",
        "88bb  incomplete    test_shop       2  1,500  1,234,567  -              1:07  -",
    ]


def test_agents():
    rows = [agent("a", state="running", run_id="3f2a"), agent("b", cores=0, load=None)]
    assert lines(listing.agent_columns(rows)) == [
        "Agent  Host  State    Run   Cores  Workers  Load  Version        Since",
        "a      box   running  3f2a      8        8  0.50  2.0 (LOADS/1)  -",
        "b      box   idle     -         -        8     -  2.0 (LOADS/1)  -",
    ]


def test_checks():
    checked = [Health("a", "box", True, 0.5), Health("b", "box", None, None, "busy with run 3f2a")]
    assert lines(listing.health_columns(checked)) == [
        "Agent  Host  Result         Time  Reason",
        "a      box   ok           0.50 s",
        "b      box   not checked       -  busy with run 3f2a",
    ]
    assert lines(listing.health_columns(checked[:1]))[0] == "Agent  Host  Result    Time"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_has_less_of_it(width: int):
    shown = lines(listing.run_columns([run(target="x" * 100)]), width)
    assert max(map(len, shown)) <= width
    assert shown[0].startswith("Run   State    Test")


def test_what_comes_from_a_peer_cannot_act_on_the_terminal():
    shown = "".join(lines(listing.run_columns([run(target="a\x1b[2Jb", user_id="\r")])))
    assert shown.isprintable()


def test_nothing_is_said_in_words(capsys: pytest.CaptureFixture[str]):
    listing.show(output("console"), {}, listing.run_columns([]), "No runs.")
    assert capsys.readouterr().out == "No runs.\n"


def test_json_goes_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = {"runs": [{"run_id": "3f2a"}]}
    listing.show(output("json"), data, listing.run_columns([]), "No runs.")
    assert json.loads(capsys.readouterr().out) == data
    file = tmp_path / "runs.json"
    listing.show(output("json", filename=str(file)), data, [], "")
    assert json.loads(file.read_text()) == data
    with pytest.raises(LoadsError, match="cannot be written"):
        listing.show(output("json", filename=str(tmp_path / "no" / "x.json")), data, [], "")
