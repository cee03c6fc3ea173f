"""What can be known of our dependencies, and of dangerous calls, without a network."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REASONS = (ROOT / "docs/design/003-dependencies.rst").read_text()
EXTRAS = PROJECT["project"]["optional-dependencies"]
NEEDED = PROJECT["project"]["dependencies"]
ALL = sorted({*NEEDED, *(text for texts in EXTRAS.values() for text in texts)})
OURS = sorted((ROOT / "loads").rglob("*.py"))

#: Packages that are imported under another name than they are installed by.
IMPORTED_AS = {"pyzmq": "zmq"}
#: What we import that something declared cannot be without, and which of these that is.
WITH = {"certifi": "requests", "urllib3": "requests"}

_REQUIREMENT = re.compile(r"([A-Za-z0-9-]+)(\[[\w,]+\])?([<>=!~].*?)?(;.*)?")


def name_of(requirement: str) -> str:
    match = _REQUIREMENT.fullmatch(requirement)
    assert match, requirement
    return match[1]


@pytest.mark.parametrize("requirement", [text for text in ALL if name_of(text) != "loads"])
def test_a_dependency_has_a_lower_bound_and_a_reason(requirement: str) -> None:
    """Or an old version with known holes would do, or nobody knows what it is for."""
    match = _REQUIREMENT.fullmatch(requirement)
    assert match
    assert re.match(r"(>=|==)\d", match[3] or ""), "it may be of any age"
    assert re.search(rf"(?<![\w-]){re.escape(match[1])}(?![\w-])", REASONS), "nobody says why"


def imports(tree: ast.AST) -> Iterator[str]:
    """The top-level packages that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def test_nothing_is_imported_that_is_not_declared() -> None:
    """What happens to be installed by another package goes when that changes its mind."""
    ours = [*NEEDED, *EXTRAS["postgres"], *EXTRAS["redis"], *EXTRAS["websockets"]]
    declared = {IMPORTED_AS.get(name, name) for name in map(name_of, ours)}
    known = declared | {"loads"} | {name for name, by in WITH.items() if by in declared}
    found = {
        (name, str(path.relative_to(ROOT)))
        for path in OURS
        for name in imports(ast.parse(path.read_text()))
        if name not in sys.stdlib_module_names
    }
    assert not {(name, path) for name, path in found if name not in known}
    assert {name for name, _ in found} >= set(WITH), "a name of these is not imported any more"


#: Calls that run what they are given, and modules that build whatever they are given.
CALLS = {"eval", "exec", "compile", "system", "popen"}
MODULES = {"pickle", "marshal", "shelve", "dill", "yaml"}
#: What may be, for a reason that is told there: the condition of a test's own ``skipif``.
MAY = {("loads/worker/marks.py", "eval")}


def dangers(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    yield from MODULES & set(imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else ""
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                name = called.attr if called.value.id in ("os", "builtins") else ""
            yield from {name} & CALLS
            for keyword in node.keywords:
                value = keyword.value
                is_false = isinstance(value, ast.Constant) and not value.value
                if keyword.arg == "shell" and not is_false:
                    yield "shell"


def test_nothing_that_is_sent_can_be_run_or_built() -> None:
    found = {(str(path.relative_to(ROOT)), name) for path in OURS for name in dangers(path)}
    assert found == MAY


@pytest.mark.parametrize(
    ("text", "danger"),
    [
        ("import pickle", "pickle"),
        ("from yaml import load", "yaml"),
        ("def f(x):\n    return eval(x)", "eval"),
        ("import os; os.system('ls')", "system"),
        ("import subprocess as s; s.run('ls', shell=True)", "shell"),
        ("import subprocess as s; s.run('ls', shell=wanted)", "shell"),
    ],
)
def test_a_danger_is_seen(tmp_path: Path, text: str, danger: str) -> None:
    (tmp_path / "it.py").write_text(text)
    assert list(dangers(tmp_path / "it.py")) == [danger]


def test_the_rules_of_security_are_on() -> None:
    """As ruff itself understands its settings, for each of our modules and in `make lint`."""
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S")] == ["S101"]
    for pattern, rules in lint["per-file-ignores"].items():
        if not pattern.startswith(("docs/", "examples/", "tests/")):
            assert not [rule for rule in rules if re.match(r"S(\d|$)", rule)], pattern
    code = "import pickle\neval(input())\n"
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise",
               "--stdin-filename", "loads/worker/process.py", "-"]  # fmt: skip
    said = subprocess.run(
        command, input=code, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert " S307 " in said.stdout
    assert "ruff check ." in (ROOT / "Makefile").read_text()


def test_an_exception_from_a_rule_of_security_has_its_reason() -> None:
    places = {
        f"{path.relative_to(ROOT)}: {line.strip()}": line
        for path in OURS
        for line in path.read_text().splitlines()
        if re.search(r"#\s*(ruff: )?noqa\b(?!: [A-RT-Z])", line)
    }
    assert places, "there are some"
    rule = re.compile(r"# noqa: S[A-Z]*\d+(, [A-Z]+\d+)* - \w{3,}")
    assert not [place for place, line in places.items() if not rule.search(line)]
