from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from loads.errors import UsageError
from loads.outputs.base import OutputOption
from loads.outputs.json import JsonOutput
from loads.outputs.null import NullOutput
from loads.outputs.registry import Registry

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.fixture
def registry() -> Registry:
    strangers = [
        EntryPoint("absent", "no_such_module_anywhere:Output", Registry.group),
        EntryPoint("empty", "loads.outputs.null:NoSuchClass", Registry.group),
    ]
    return Registry(strangers)


def test_the_built_in_outputs_load_whatever_is_installed():
    registry = Registry([])
    assert registry.own == ["console", "file", "funkload", "json", "null"]
    for name in registry.own:
        assert registry.load(name).__name__ == f"{name.title()}Output"


def test_names_import_nothing(registry):
    assert registry.names == ["absent", "console", "empty", "file", "funkload", "json", "null"]


def test_options_are_declared(registry):
    (option,) = registry.options("json")
    assert option == OutputOption("filename", "-", option.help)
    assert registry.options("null") == registry.options("console") == ()


def test_an_output_is_built_with_its_values(registry, tmp_path):
    assert isinstance(registry.build("null"), NullOutput)
    assert isinstance(registry.build("json"), JsonOutput)
    assert isinstance(registry.build("json", {"filename": str(tmp_path / "x")}), JsonOutput)


def test_options_reach_the_constructor_by_keyword():
    registry = Registry([EntryPoint("spy", f"{__name__}:Spy", Registry.group)])
    assert registry.build("spy", {"flush-every": "9"}).given == ("9", "tmp")


class Spy(NullOutput):
    options = (OutputOption("flush-every", "5"), OutputOption("place", "tmp"))

    def __init__(self, flush_every: str, place: str) -> None:
        self.given = (flush_every, place)


def test_an_unknown_name_is_told_with_what_there_is(registry):
    with pytest.raises(UsageError) as caught:
        registry.load("jsno")
    assert caught.value.message == "There is no output 'jsno'."
    assert caught.value.hint == (
        "Did you mean 'json'? The outputs are: absent, console, empty, file, funkload, json, null."
    )


def test_nothing_close_is_not_guessed(registry):
    with pytest.raises(UsageError) as caught:
        registry.load("zzz")
    assert caught.value.hint.startswith("The outputs are: ")


def test_an_unknown_option_is_told(registry):
    with pytest.raises(UsageError, match="no option 'filname'") as caught:
        registry.build("json", {"filname": "x"})
    assert caught.value.hint == "Did you mean 'filename'? The options are: filename."
    with pytest.raises(UsageError) as caught:
        registry.build("null", {"x": "y"})
    assert caught.value.hint == "It has no options."


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_what_cannot_be_imported_is_the_users_to_mend(registry, name):
    with pytest.raises(UsageError, match=f"output '{name}' cannot be loaded"):
        registry.load(name)


def test_nobody_takes_one_of_our_names():
    registry = Registry([EntryPoint("json", f"{__name__}:Spy", Registry.group)])
    assert registry.load("json") is JsonOutput
    assert registry.names == registry.own


def test_what_is_installed_is_looked_for_when_a_name_is_none_of_ours():
    def found():
        looked.append(True)
        yield EntryPoint("spy", f"{__name__}:Spy", Registry.group)

    looked: list[bool] = []
    registry = Registry(found())
    assert registry.build("json") and registry.options("json") and registry.own
    assert not looked
    assert registry.load("spy") is Spy
    assert looked


def test_plain_mode_does_not_import_rich():
    program = (
        "import io, sys\n"
        "from loads.outputs.console import ConsoleOutput\n"
        "from loads.outputs.registry import Registry\n"
        "import loads.outputs.json, loads.outputs.null\n"
        "from loads.metrics.summary import RunView\n"
        "from loads.plan import RunPlan\n"
        "view, console = RunView('r', RunPlan('a.b')), ConsoleOutput()\n"
        "console.start(view); console.update(view); console.finish(view)\n"
        "heavy = {'rich', 'click', 'zmq', 'gevent', 'requests'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=PROJECT.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Result: not known yet, the run is preparing\n")
