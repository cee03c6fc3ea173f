"""Finds the tests that a target names, and imports them.

A target is ``package.module``, ``package.module.Class``, ``package.module.Class.method`` or
``package.module.function``.  Tests are methods of ``unittest.TestCase`` classes, functions, and
methods of plain classes, as pytest knows them.  The latter two may ask for what Loads provides by
naming it as an argument: see :data:`PROVIDED`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import pkgutil
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from loads.errors import TargetError
from loads.metrics.series import TEST, SeriesKey
from loads.worker import marks
from loads.worker.verdicts import user_traceback

PROVIDED = ("session", "app", "server_url")  #: what functions and plain classes may ask for


@dataclass(frozen=True)
class Test:
    """One test: a method of ``owner``, or a plain function when that is None.

    ``arguments`` are the names of what the test asks for.  Of a test with parameters, each case is
    a test, called as pytest calls it, such as ``test_square[3]``, and ``values`` are its own.
    """

    name: str
    weight: int
    owner: type[Any] | None
    function: Callable[..., Any]
    arguments: tuple[str, ...] = ()
    values: tuple[tuple[str, Any], ...] = ()

    @cached_property
    def method(self) -> str:
        """The last part of the name, without a case."""
        return self.name.partition("[")[0].rpartition(".")[2]

    @property
    def module(self) -> str:
        """The name of the module that the test is in: its class's, if that inherited it."""
        return (self.owner or self.function).__module__

    @cached_property
    def key(self) -> SeriesKey:
        """The series that its calls are recorded in."""
        return SeriesKey(TEST, self.name)

    @cached_property
    def is_case(self) -> bool:
        """Whether it is a method of a ``unittest.TestCase``."""
        return _is_case(self.owner)


def load(target: str, root: str) -> list[Test]:
    """Import what ``target`` names and give its tests.

    Raises :class:`TargetError`, with a hint, when there is no such thing, when it cannot be
    imported, or when it is no test.
    """
    dotted, bracket, _ = target.partition("[")
    module, path = _import_longest(dotted, root)
    found: Any = module
    owner: Any = None
    walked = module.__name__
    for name in path:
        if not hasattr(found, name):
            raise TargetError(
                f"{walked} has no {name!r}.", _suggestion(name, _test_names(found), walked)
            )
        owner, found, walked = found, getattr(found, name), f"{walked}.{name}"
    if isinstance(found, types.ModuleType):
        tests = list(_tests_of_module(found))
    elif isinstance(found, type):
        tests = list(_tests_of_class(found))
    elif isinstance(owner, type) and callable(found):
        tests = list(_tests(walked, owner, found))
    elif inspect.isfunction(found):
        tests = list(_tests(walked, None, found))
    else:
        raise TargetError(
            f"{target} is no test: it is {_article(type(found).__name__)}.",
            "A test is a method of a class, or a function.",
        )
    if not tests:
        raise TargetError(
            f"There is no test in {target}.",
            "Methods and functions whose names start with test are tests.",
        )
    for file in {sys.modules[test.module].__file__ for test in tests}:
        marks.refuse_conftest(target, file, root)
    return _case(target, dotted, tests) if bracket else tests


def _case(target: str, dotted: str, tests: list[Test]) -> list[Test]:
    """The case of a test with parameters that a target names."""
    suffix = target[len(dotted) :]
    chosen = [test for test in tests if test.name.endswith(suffix)]
    if not chosen:
        names = [test.name[len(test.name.partition("[")[0]) :] or "no cases" for test in tests]
        raise TargetError(f"{dotted} has no case {suffix}.", f"It has {', '.join(names[:20])}.")
    return chosen


def _tests(name: str, owner: type[Any] | None, function: Callable[..., Any]) -> Iterator[Test]:
    """A test, or each case of one with parameters.

    Raises :class:`TargetError` for what looks like a test, but cannot be run as one.
    """
    module = sys.modules[(owner or function).__module__]
    kinds = () if owner is None else (owner,)
    found = marks.marks_of(function, *kinds, module)
    marks.refuse_fixtures(name, found, *kinds, module)
    if _is_case(owner):
        found = [mark for mark in found if mark.name != "parametrize"]  # nor does pytest
    for case in marks.cases_of(name, found):
        judged = marks.marked(function, (*case.marks, *found))
        if judged is not function and owner is not None and not case.marks:
            _replace_method(owner, name.rpartition(".")[2], found)
        yield _test(name, owner, judged, case)


def _replace_method(owner: type[Any], name: str, found: list[Any]) -> None:
    """Have a method of a class do as its marks say, unless that was done before."""
    plain = inspect.getattr_static(owner, name)
    if inspect.isfunction(plain) and not hasattr(plain, "__loads_marked__"):
        judged: Any = marks.marked(plain, found)
        judged.__loads_marked__ = True
        setattr(owner, name, judged)


def _test(
    name: str, owner: type[Any] | None, function: Callable[..., Any], case: marks.Case
) -> Test:
    """Raises :class:`TargetError` for what looks like a test, but cannot be run as one."""
    if inspect.iscoroutinefunction(function) or (
        owner is not None and issubclass(owner, unittest.IsolatedAsyncioTestCase)
    ):
        raise TargetError(
            f"{name} needs an event loop of asyncio, of which there is one in a thread.",
            "Tests are plain functions and methods: virtual users run at once as is.",
        )
    weight = getattr(owner, "__loads_weight__", 1) * getattr(function, "__loads_weight__", 1)
    if _is_case(owner):
        return Test(name, weight, owner, function)
    parameters = list(inspect.signature(function).parameters.values())
    if owner is not None and not isinstance(
        inspect.getattr_static(owner, name.rpartition(".")[2]), staticmethod | classmethod
    ):
        parameters = parameters[1:]  # self
    parameters = parameters[marks.patched_arguments(function) :]
    given = dict(case.values)
    wanted = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in _VARIADIC and p.name not in given
    ]
    for argument in wanted:
        if argument not in PROVIDED:
            raise TargetError(
                f"{name} asks for {argument!r}, which Loads does not provide.",
                f"It provides {', '.join(PROVIDED)}, and no fixtures; give other arguments a "
                "default.",
            )
    return Test(name + case.suffix, weight, owner, function, tuple(wanted), case.values)


def _import_longest(target: str, root: str) -> tuple[types.ModuleType, list[str]]:
    """Import as much of a dotted name as is modules; give the last one and the rest."""
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts):
        raise TargetError(
            f"{target} does not name a test.",
            "Name it as package.module.Class.test_method or package.module.test_function.",
        )
    module: types.ModuleType | None = None
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        if module is not None and not hasattr(module, "__path__"):
            return module, parts[length - 1 :]
        try:
            module = _import(name, root)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise TargetError(
                    f"{name} cannot be imported: {error}.",
                    "Install what the test needs where its workers run.",
                ) from error
            if module is None:
                raise TargetError(
                    f"There is no module {name!r} in {root}.",
                    "Run the command in the directory that holds it, "
                    f"and name the test as {name}.py would be imported.",
                ) from error
            return module, parts[length - 1 :]
    assert module is not None
    return module, []


def _import(name: str, root: str) -> types.ModuleType:
    """Import one module.  The user's own exceptions become :class:`TargetError`."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise
    except SyntaxError as error:
        path = (error.filename or name).removeprefix(os.path.join(root, ""))
        where = f"{path}, line {error.lineno}"
        raise TargetError(
            f"{name} cannot be imported: {error.msg} ({where}).",
            f"    {(error.text or '').strip()}",
        ) from error
    except (Exception, SystemExit) as error:
        raise TargetError(
            f"{name} cannot be imported: {type(error).__name__}: {error}",
            user_traceback(error.__traceback__, root),
        ) from error


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _is_case(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, unittest.TestCase)


def _tests_of_class(owner: type[Any]) -> Iterator[Test]:
    loader = unittest.TestLoader()
    for name in loader.getTestCaseNames(owner):
        yield from _tests(
            f"{owner.__module__}.{owner.__qualname__}.{name}", owner, getattr(owner, name)
        )


def _tests_of_module(module: types.ModuleType) -> Iterator[Test]:
    """The tests that a module defines itself; what it only imported is another's."""
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if _is_case(thing) or (isinstance(thing, type) and name.startswith("Test")):
            yield from _tests_of_class(thing)
        elif inspect.isfunction(thing) and name.startswith("test"):
            yield from _tests(f"{module.__name__}.{name}", None, thing)


def _test_names(found: Any) -> list[str]:
    if isinstance(found, types.ModuleType):
        own = [name for name, thing in vars(found).items() if callable(thing)]
        return own + [m.name for m in pkgutil.iter_modules(getattr(found, "__path__", []))]
    return [
        name for name in dir(found) if name.startswith("test") and callable(getattr(found, name))
    ]


def _suggestion(name: str, names: list[str], where: str) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"Did you mean {where}.{close[0]}?"
    tests = [n for n in names if n.lower().startswith("test")]
    if tests:
        return "It has " + ", ".join(tests[:8]) + (", ..." if len(tests) > 8 else ".")
    return "It has no tests at all."


def _article(noun: str) -> str:
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun
