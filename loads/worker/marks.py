"""What pytest's marks say of a test: which cases it has, whether it is skipped or may fail.

pytest need not be installed, and is not imported: a mark is known by its name.  What is understood
is ``skip``, ``skipif``, ``xfail``, ``parametrize`` (with ``pytest.param`` and ``ids``), and the
arguments that ``mock.patch`` adds.  Fixtures are not run: what needs one is refused, because a test
without its fixtures is another test.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import os
import platform
import sys
import unittest
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from loads.errors import TargetError
from loads.worker.verdicts import is_cut, is_pytest, is_skip


class Case(NamedTuple):
    """One of the cases of a parametrised test.

    ``suffix`` is what pytest would add to the test's name: empty where there are no parameters.
    """

    suffix: str
    values: tuple[tuple[str, Any], ...]
    marks: tuple[Any, ...]


def marks_of(*holders: Any) -> list[Any]:
    """The marks of a function, of its class with all bases, and of its module, in that order."""
    found: list[Any] = []
    for holder in holders:
        kinds = holder.__mro__ if isinstance(holder, type) else (holder,)
        for kind in kinds:
            own = getattr(kind, "__dict__", {}).get("pytestmark", ())
            found += [getattr(mark, "mark", mark) for mark in _listed(own)]
    return found


def cases_of(name: str, marks: Sequence[Any]) -> list[Case]:
    """The cases of a test, in pytest's order.

    Raises :class:`TargetError` for parameters that are no list, or need fixtures.
    """
    sets = [_sets(name, mark) for mark in marks if mark.name == "parametrize"]
    cases = []
    for chosen in itertools.product(*sets):
        suffix = f"[{'-'.join(case.suffix for case in chosen)}]" if chosen else ""
        values = tuple(pair for case in chosen for pair in case.values)
        cases.append(Case(suffix, values, tuple(m for case in chosen for m in case.marks)))
    return cases


def _sets(name: str, mark: Any) -> list[Case]:
    """The sets of values of one ``parametrize``."""
    given = inspect.signature(_parametrize).bind(*mark.args, **mark.kwargs).arguments
    if given.get("indirect"):
        raise TargetError(
            f"{name} has parameters that are for fixtures (indirect), which Loads does not run.",
            "Give the test what it needs by other means, such as setup_method.",
        )
    names = given["argnames"]
    names = [n.strip() for n in names.split(",") if n.strip()] if isinstance(names, str) else names
    ids, cases = given.get("ids"), []
    for index, row in enumerate(given["argvalues"]):
        marks: tuple[Any, ...] = ()
        own = None
        if hasattr(row, "_fields") and row._fields == ("values", "marks", "id"):  # pytest.param
            values, marks, own = row.values, tuple(_listed(row.marks)), row.id
        else:
            values = (row,) if len(names) == 1 else tuple(row)
        if len(values) != len(names):
            raise TargetError(
                f"{name}: {len(names)} parameters have {len(values)} values: {values!r}.",
                "Each set of values has one for each parameter.",
            )
        suffix = own if isinstance(own, str) else _id(ids, index, list(names), values)
        marks = tuple(getattr(mark, "mark", mark) for mark in marks)
        cases.append(Case(suffix, tuple(zip(names, values, strict=True)), marks))
    return _told_apart(cases)


def _parametrize(
    argnames: Any, argvalues: Any, indirect: Any = False, ids: Any = None, scope: Any = None
) -> None:
    """The signature of pytest's own."""


def _id(ids: Any, index: int, names: list[str], values: Sequence[Any]) -> str:
    """What pytest calls a set of values."""
    if ids is not None and not callable(ids):
        listed = list(ids)
        if index < len(listed) and listed[index] is not None:
            return str(listed[index])
    return "-".join(
        _value_id(ids, index, name, value) for name, value in zip(names, values, strict=True)
    )


def _value_id(ids: Any, index: int, name: str, value: Any) -> str:
    made = ids(value) if callable(ids) else None
    if made is not None:
        return str(made)
    if value is None or isinstance(value, (str, int, float, bool, complex)):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    own = getattr(value, "__name__", None)
    return own if isinstance(own, str) else f"{name}{index}"


def _told_apart(cases: list[Case]) -> list[Case]:
    """Equal names are numbered, as pytest does."""
    names = [case.suffix for case in cases]
    seen: dict[str, int] = {}
    told = []
    for case in cases:
        if names.count(case.suffix) == 1:
            told.append(case)
            continue
        number = seen[case.suffix] = seen.get(case.suffix, -1) + 1
        told.append(case._replace(suffix=f"{case.suffix}{number}"))
    return told


# -- what becomes of a test ------------------------------------------------------------------------


def marked(function: Callable[..., Any], marks: Iterable[Any]) -> Callable[..., Any]:
    """A function that does as its marks say: is skipped, or may fail."""
    for mark in marks:
        if mark.name in ("skip", "skipif") and _applies(function, mark):
            reason = mark.kwargs.get("reason", "") or (mark.name == "skip" and _first(mark)) or ""
            return _skipped(function, str(reason))
    for mark in marks:
        if mark.name == "xfail" and _applies(function, mark):
            return _expected_to_fail(function, mark)
    return function


def _first(mark: Any) -> Any:
    return mark.args[0] if mark.args else ""


def _applies(function: Callable[..., Any], mark: Any) -> bool:
    """Whether one of a mark's conditions holds, or there is none."""
    if mark.name == "skip":
        return True
    conditions = list(mark.args)
    if "condition" in mark.kwargs:
        conditions.append(mark.kwargs["condition"])
    # as in pytest, a text is Python in the test's own module
    known = {"os": os, "sys": sys, "platform": platform, **getattr(function, "__globals__", {})}
    return not conditions or any(
        bool(eval(condition, known))  # noqa: S307 - the test's own code, which is about to run
        if isinstance(condition, str)
        else bool(condition)
        for condition in conditions
    )


def _skipped(function: Callable[..., Any], reason: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def skipped(*args: Any, **kwargs: Any) -> None:
        raise unittest.SkipTest(reason)

    skipped.__unittest_skip__ = True  # type: ignore[attr-defined] # no set-up either
    skipped.__unittest_skip_why__ = reason  # type: ignore[attr-defined]
    return skipped


def _expected_to_fail(function: Callable[..., Any], mark: Any) -> Callable[..., Any]:
    wanted: Any = mark.kwargs.get("raises") or BaseException
    if mark.kwargs.get("run") is False:
        return _skipped(function, str(mark.kwargs.get("reason", "")))

    @functools.wraps(function)
    def expected_to_fail(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except BaseException as error:
            failed = isinstance(error, Exception) or is_pytest(type(error), "Failed")
            if is_cut(error) or is_skip(type(error)) or not failed:
                raise
            if not isinstance(error, wanted):
                raise
        else:
            if mark.kwargs.get("strict"):
                raise AssertionError(f"[XPASS(strict)] {mark.kwargs.get('reason', '')}".strip())

    return expected_to_fail


# -- arguments and fixtures ------------------------------------------------------------------------


def patched_arguments(function: Callable[..., Any]) -> int:
    """How many arguments ``mock.patch`` decorators add, as the first ones."""
    mock = sys.modules.get("unittest.mock")
    other = sys.modules.get("mock")
    defaults = [getattr(module, "DEFAULT", None) for module in (mock, other) if module]
    return sum(
        any(patching.new is default for default in defaults) and not patching.attribute_name
        for patching in getattr(function, "patchings", ())
    )


def refuse_fixtures(name: str, marks: Iterable[Any], *holders: Any) -> None:
    """Raises :class:`TargetError` where pytest would use a fixture without being asked by name."""
    for mark in marks:
        if mark.name == "usefixtures" and mark.args:
            raise _needs(name, f"fixture {mark.args[0]!r}")
    for holder in holders:
        for fixture, thing in list(vars(holder).items()):
            about = _fixture_marker(thing)
            if about is not None and getattr(about, "autouse", False):
                raise _needs(name, f"fixture {fixture!r}, which has autouse=True")


def refuse_conftest(name: str, file: str | None, root: str) -> None:
    """Likewise, for fixtures in each ``conftest.py`` from ``root`` down to a test's ``file``."""
    if not file:
        return
    directory, top = Path(file).resolve().parent, Path(root).resolve()
    while directory.is_relative_to(top):
        fixture = _autouse_in(directory / "conftest.py")
        if fixture:
            raise _needs(name, f"fixture {fixture!r} of conftest.py, which has autouse=True")
        directory = directory.parent


def is_fixture(thing: Any) -> bool:
    """Whether something is a fixture of pytest's."""
    return _fixture_marker(thing) is not None


def _autouse_in(path: Path) -> str:
    """The first fixture in a file that is used by itself.  The file is read, and not run."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and any(_switches_on(k) for k in call.keywords):
                    return node.name
    return ""


def _switches_on(keyword: ast.keyword) -> bool:
    value = keyword.value
    return keyword.arg == "autouse" and isinstance(value, ast.Constant) and bool(value.value)


def _fixture_marker(thing: Any) -> Any:
    found = getattr(type(thing), "_fixture_function_marker", None)  # never a test's own __getattr__
    if found is None and type(thing).__name__ == "FixtureFunctionDefinition":
        found = getattr(thing, "_fixture_function_marker", None)
    if found is None and inspect.isfunction(thing):
        found = getattr(thing, "_pytestfixturefunction", None)
    return found


def _needs(name: str, what: str) -> TargetError:
    return TargetError(
        f"{name} needs pytest's {what}, and Loads does not run fixtures.",
        "Use setup_function, setup_method, setup_class or setup_module for it.",
    )


def _listed(marks: Any) -> Iterator[Any]:
    return iter(marks if isinstance(marks, (list, tuple)) else [marks])
