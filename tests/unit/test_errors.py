"""The tree of errors, their words and their exit codes."""

from __future__ import annotations

import inspect
import re

import pytest

from loads import errors
from loads.errors import ExitCode, LoadsError, error_from

ERRORS = [
    cls
    for cls in vars(errors).values()
    if inspect.isclass(cls) and issubclass(cls, LoadsError) and cls is not LoadsError
]


def drawn_tree() -> dict[str, tuple[str, int]]:
    """The tree in the module's docstring: error -> its parent and its exit code."""
    tree: dict[str, tuple[str, int]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(
            r"    (?P<indent>(?:[│├└ ][─ ]{2} )*)(?P<name>\w+Error|\w+)\b *(\d+)?", line
        )
        if match is None:
            continue
        depth = len(match["indent"]) // 4
        del path[depth:]
        if path:
            code = match[3] or tree[path[-1]][1]
            tree[match["name"]] = (path[-1], int(code))
        path.append(match["name"])
    return tree


def test_the_docstring_draws_the_tree_as_it_is():
    actual = {cls.__name__: (cls.__base__.__name__, int(cls.exit_code)) for cls in ERRORS}
    assert drawn_tree() == actual


def test_exit_codes_are_a_contract():
    # Scripts and CI pipelines compare these numbers, so they may never change.
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "THRESHOLD": 3,
        "INCOMPLETE": 4,
        "BROKER": 5,
        "AGENTS": 6,
        "GENERATOR": 7,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        pytest.param("", "No test.", id="no hint, no empty line"),
        pytest.param("Name one.", "No test.\nName one.", id="the hint has its own line"),
    ],
)
def test_text_of_an_error(hint, text):
    assert str(LoadsError("No test.", hint)) == text


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_an_error_of_another_process_keeps_its_exit_code_and_words(cls):
    error = cls("What.", "Do this.")
    again = error_from(int(error.exit_code), error.message, error.hint)
    assert (again.exit_code, again.message, again.hint) == (cls.exit_code, "What.", "Do this.")


@pytest.mark.parametrize("code", [-1, 8, 255], ids=lambda code: f"unknown code {code}")
def test_an_error_of_a_newer_process_is_an_error_still(code):
    assert isinstance(error_from(code, "What."), LoadsError)
