"""Waiting for a module to be imported."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from loads.clients.instrument import when_imported

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        dotted = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        monkeypatch.delitem(sys.modules, dotted, raising=False)
        importlib.invalidate_caches()

    return write


def test_it_is_called_once_when_the_module_is_complete(write: Write) -> None:
    write("awaited_a.py", "value = 1\n")
    seen: list[int] = []
    when_imported("awaited_a", lambda module: seen.append(module.value))
    when_imported("awaited_a", lambda module: seen.append(module.value + 1))
    assert not seen
    module = importlib.import_module("awaited_a")
    importlib.import_module("awaited_a")
    assert seen == [1, 2]
    assert inspect.getsource(module) == "value = 1\n"


def test_module_that_is_there_already() -> None:
    seen: list[ModuleType] = []
    when_imported("sys", seen.append)
    assert seen == [sys]


def test_package_and_its_module(write: Write) -> None:
    write("awaited_b/__init__.py", "from awaited_b.part import value\n")
    write("awaited_b/part.py", "value = 1\n")
    seen: list[str] = []
    for name in ("awaited_b", "awaited_b.part"):
        when_imported(name, lambda module: seen.append(module.__name__))
    importlib.import_module("awaited_b.part")
    assert seen == ["awaited_b.part", "awaited_b"]


def test_looking_is_not_importing(write: Write) -> None:
    write("awaited_c.py", "")
    seen: list[ModuleType] = []
    when_imported("awaited_c", seen.append)
    assert importlib.util.find_spec("awaited_c") is not None
    assert not seen
    assert importlib.import_module("awaited_c") in seen


def test_import_that_fails_first(write: Write) -> None:
    write("awaited_d.py", "raise OSError('not now')\n")
    seen: list[ModuleType] = []
    when_imported("awaited_d", seen.append)
    with pytest.raises(OSError, match="not now"):
        importlib.import_module("awaited_d")
    assert not seen
    write("awaited_d.py", "value = 'now it works'\n")
    importlib.import_module("awaited_d")
    assert len(seen) == 1


def test_module_that_is_nowhere() -> None:
    when_imported("awaited_nowhere", print)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("awaited_nowhere")


def test_error_comes_out_of_the_import(write: Write) -> None:
    write("awaited_e.py", "")

    def fail(module: ModuleType) -> None:
        raise LookupError(module.__name__)

    when_imported("awaited_e", fail)
    with pytest.raises(LookupError, match="awaited_e"):
        importlib.import_module("awaited_e")
