from __future__ import annotations

import io
import json
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from loads.errors import LoadsError, UsageError
from loads.metrics.summary import summarise
from loads.outputs.base import Outputs
from loads.outputs.json import JsonOutput
from tests.unit.outputs.run_views import empty, ended, running

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@pytest.mark.parametrize("view", [empty(), running(), ended(), ended(status="incomplete")])
def test_the_summary_is_written(tmp_path, view):
    path = tmp_path / "result.json"
    output = JsonOutput(str(path))
    output.start(empty())
    output.update(running())
    assert list(tmp_path.iterdir()) == []
    output.finish(view)
    assert json.loads(path.read_text()) == summarise(view)
    assert path.read_text().startswith('{\n  "schema": 1,\n')
    assert list(tmp_path.iterdir()) == [path]


def test_a_dash_is_standard_output():
    stdout = io.StringIO()
    JsonOutput(stdout=stdout).finish(ended())
    assert json.loads(stdout.getvalue()) == summarise(ended())


def test_an_older_file_is_replaced_with_its_mode(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    path.chmod(0o640)
    JsonOutput(str(path)).finish(ended())
    assert json.loads(path.read_text())["run_id"] == "r1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path):
    link, path = tmp_path / "link", tmp_path / "result.json"
    link.symlink_to(path)
    JsonOutput(str(link)).finish(ended())
    assert link.is_symlink()
    assert json.loads(path.read_text())["run_id"] == "r1"


def test_no_directory_is_told_before_the_run(tmp_path):
    with pytest.raises(UsageError, match="No such file or directory") as caught:
        JsonOutput(str(tmp_path / "absent" / "result.json"))
    assert "directory that exists" in caught.value.hint


def test_a_directory_that_is_a_file_is_told_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Not a directory"):
        JsonOutput(str(tmp_path / "file" / "result.json"))


@pytest.mark.parametrize("name", ["", ".", "a\0b"])
def test_what_is_no_file_is_told_before_the_run(name):
    with pytest.raises(UsageError):
        JsonOutput(name)


@contextmanager
def as_nobody():
    """Root may write anything, so what is within is done by somebody who may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_no_permission_is_told_before_the_run():
    # not in pytest's own directory, which only its owner can enter
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        path.write_text("old")
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        with as_nobody(), pytest.raises(UsageError, match="Permission denied"):
            JsonOutput(str(path))
        Path(folder).chmod(0o700)


def test_a_place_that_goes_away_costs_no_summary(tmp_path):
    place, stderr = tmp_path / "place", io.StringIO()
    place.mkdir()
    output = JsonOutput(str(place / "result.json"), stderr=stderr)
    place.rmdir()
    with pytest.raises(LoadsError, match="could not be written") as caught:
        output.finish(ended())
    assert caught.value.hint == "It is on standard error instead."
    assert json.loads(stderr.getvalue()) == summarise(ended())


def test_what_cannot_be_put_in_place_leaves_nothing_behind(tmp_path):
    path = tmp_path / "result.json"
    output = JsonOutput(str(path), stderr=io.StringIO())
    path.mkdir()  # a file cannot take the place of a directory
    (path / "kept").write_text("")
    output_view = ended()
    with pytest.raises(LoadsError):
        output.finish(output_view)
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


@needs_full
def test_a_full_disk_costs_no_summary_and_no_device():
    stderr = io.StringIO()
    with pytest.raises(LoadsError, match="No space left on device"):
        JsonOutput(str(FULL), stderr=stderr).finish(ended())
    assert json.loads(stderr.getvalue()) == summarise(ended())
    assert stat.S_ISCHR(FULL.stat().st_mode)


@needs_full
def test_a_full_standard_output_costs_no_summary():
    stderr = io.StringIO()
    with FULL.open("w") as stdout, pytest.raises(LoadsError, match="standard output"):
        JsonOutput(stdout=stdout, stderr=stderr).finish(ended())
    assert json.loads(stderr.getvalue()) == summarise(ended())


def test_a_reader_that_has_gone_gets_nothing_else(recwarn):
    reading, writing = os.pipe()
    os.close(reading)
    stderr, warnings = io.StringIO(), io.StringIO()
    with open(writing, "w") as stdout:
        output = JsonOutput(stdout=stdout, stderr=stderr)
        Outputs([("json", output)], warnings).finish(ended())
    assert stderr.getvalue() == ""
    assert warnings.getvalue() == (
        "warning: the output json failed and is left out: "
        "The summary could not be written to standard output: Broken pipe.\n"
    )


def test_names_that_are_not_text_are_written(tmp_path):
    path = tmp_path / "result.json"
    JsonOutput(str(path)).finish(ended(warnings=("\udcff\x1b",)))
    assert json.loads(path.read_text())["warnings"] == ["\udcff\x1b"]
