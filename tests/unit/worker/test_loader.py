"""The loader: which tests a target names, and what is said when it names none."""

from __future__ import annotations

import itertools
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path

import pytest

from loads.errors import TargetError
from loads.worker import loader
from loads.worker.loader import load
from tests.unit.projects import lay

BASE = """
    import unittest
    from loads import TestCase, weight

    class Base(unittest.TestCase):
        def helper(self): ...

    class Shared(unittest.TestCase):
        def test_shared(self): ...

    class Mixin:
        def test_mixed_in(self): ...

    def test_imported(): ...
"""

SHOP = """
    import functools, unittest
    from abc import ABC, abstractmethod
    from {base} import Base, Mixin, Shared, TestCase, test_imported, weight

    class TestCart(TestCase):
        test_data = {{"not": "callable"}}

        def test_pay(self): ...
        @weight(3)
        def test_add(self): ...
        def _private(self): ...
        def checkout(self): ...
        @staticmethod
        def test_static(): ...
        @classmethod
        def test_of_class(cls): ...
        class TestInner(unittest.TestCase):
            def test_inside(self): ...

    class Inheriting(Shared, Mixin):
        def test_own(self): ...

    class Empty(Base): ...

    class Abstract(unittest.TestCase, ABC):
        @abstractmethod
        def price(self): ...

    @weight(2)
    class TestPlain:
        count = 0
        def test_nothing(self): ...
        @weight(5)
        def test_something(self, session, app): ...
        def test_default(self, server_url, timeout=3, *, retries=1): ...
        def test_anything(self, *args, **kwargs): ...
        @staticmethod
        def test_static(session): ...
        @classmethod
        def test_of_class(cls, session): ...
        def helper(self, whatever): ...
        def check(self): ...

    class Plain:
        def test_of_no_test_class(self): ...

    def test_function(session): ...

    @weight(4)
    @functools.wraps(test_function)
    def test_wrapped(*args): ...

    def visit(): ...
    def _visit(server_url): ...
    test_lambda = lambda: None
    NUMBER = 3
"""

numbers = itertools.count()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the module above, importable."""
    base, shop = f"base_{next(numbers)}", f"shop_{next(numbers)}"
    root = lay(
        tmp_path_factory.mktemp("project"),
        {f"{base}.py": BASE, f"{shop}.py": SHOP.format(base=base)},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        yield shop


def loaded(module: str, rest: str = "") -> list[loader.Test]:
    """The tests of a target."""
    return load(f"{module}.{rest}" if rest else module, "/project")


def names(module: str, rest: str = "") -> list[str]:
    """The names of the tests of a target, without that of the module."""
    return [test.name.removeprefix(f"{module}.") for test in loaded(module, rest)]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("TestCart", ["test_add", "test_of_class", "test_pay", "test_static"]),
        ("TestCart.test_pay", ["test_pay"]),
        ("TestCart._private", ["_private"]),
        ("TestCart.checkout", ["checkout"]),
        ("TestCart.test_static", ["test_static"]),
        ("TestCart.TestInner", ["test_inside"]),
        ("TestCart.TestInner.test_inside", ["test_inside"]),
        ("Inheriting", ["test_mixed_in", "test_own", "test_shared"]),
        ("Inheriting.test_shared", ["test_shared"]),
        ("Inheriting.test_mixed_in", ["test_mixed_in"]),
        ("Shared", ["test_shared"]),
        ("Plain", ["test_of_no_test_class"]),
        ("TestPlain.check", ["check"]),
        ("TestPlain.test_static", ["test_static"]),
        ("test_function", ["test_function"]),
        ("test_imported", ["test_imported"]),
        ("visit", ["visit"]),
        ("_visit", ["_visit"]),
        ("test_lambda", ["test_lambda"]),
    ],
)
def test_what_a_target_names(shop: str, target: str, expected: list[str]) -> None:
    """What is named exactly need not be called test; of classes and modules, only what is."""
    assert [test.method for test in loaded(shop, target)] == expected


def test_a_module_has_what_it_defines_itself(shop: str) -> None:
    """Not what it imports, which runs where it is at home; not bases without tests; not helpers."""
    assert names(shop) == [
        "TestCart.test_add",
        "TestCart.test_of_class",
        "TestCart.test_pay",
        "TestCart.test_static",
        "Inheriting.test_mixed_in",
        "Inheriting.test_own",
        "Inheriting.test_shared",
        "TestPlain.test_anything",
        "TestPlain.test_default",
        "TestPlain.test_nothing",
        "TestPlain.test_of_class",
        "TestPlain.test_something",
        "TestPlain.test_static",
        "test_function",
        "test_wrapped",
        "test_lambda",
    ]


def test_weights_of_a_class_and_of_its_tests_multiply(shop: str) -> None:
    assert {test.method: test.weight for test in loaded(shop) if test.weight != 1} == {
        "test_add": 3,
        "test_anything": 2,
        "test_default": 2,
        "test_nothing": 2,
        "test_of_class": 2,
        "test_something": 10,
        "test_static": 2,
        "test_wrapped": 4,
    }


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("TestPlain.test_nothing", ()),
        ("TestPlain.test_something", ("session", "app")),
        ("TestPlain.test_default", ("server_url",)),
        ("TestPlain.test_anything", ()),
        ("TestPlain.test_static", ("session",)),
        ("TestPlain.test_of_class", ("session",)),
        ("test_function", ("session",)),
        ("test_wrapped", ("session",)),
        ("TestCart.test_pay", ()),
    ],
)
def test_what_a_test_asks_for(shop: str, target: str, arguments: tuple[str, ...]) -> None:
    """Arguments with a default keep it, and those of a unittest method are unittest's affair."""
    (test,) = loaded(shop, target)
    assert test.arguments == arguments


@pytest.mark.parametrize(
    ("target", "owner", "is_case"),
    [
        ("TestCart.test_pay", "TestCart", True),
        ("Inheriting.test_mixed_in", "Inheriting", True),
        ("TestPlain.check", "TestPlain", False),
        ("test_function", None, False),
    ],
)
def test_whose_a_test_is(shop: str, target: str, owner: str | None, is_case: bool) -> None:
    """An inherited method is run on the class that was named."""
    (test,) = loaded(shop, target)
    assert (test.owner and test.owner.__name__, test.is_case) == (owner, is_case)
    assert test.method == target.rpartition(".")[2]


class Project:
    """A user's module of one test of the loader."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self, code: str, rest: str = "", **others: str) -> list[loader.Test]:
        """Load a new module with some code; others are beside it."""
        name = f"module_{next(numbers)}"
        lay(self.root, {f"{name}.py": code})
        lay(self.root, {f"{other}.py": text for other, text in others.items()})
        return load(f"{name}.{rest}" if rest else name, str(self.root))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Project(tmp_path)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("TestCart.test_pya", "TestCart has no 'test_pya'.", "Did you mean {}.TestCart.test_pay?"),
        ("TestCrat", "{} has no 'TestCrat'.", "Did you mean {}.TestCart?"),
        ("test_functoin", "{} has no 'test_functoin'.", "Did you mean {}.test_function?"),
        (
            "TestCart.buy",
            "{}.TestCart has no 'buy'.",
            "It has test_add, test_of_class, test_pay, test_static.",
        ),
        ("Base.x", "{}.Base has no 'x'.", "It has no tests at all."),
        ("Empty", "There is no test in {}.Empty.", "names start with test"),
        ("Abstract", "There is no test in {}.Abstract.", "names start with test"),
        ("NUMBER", "{}.NUMBER is no test: it is an int.", "a method of a class, or a function"),
        ("TestCart.test_data", "{}.TestCart.test_data is no test: it is a dict.", ""),
        ("TestPlain.helper", "{}.TestPlain.helper asks for 'whatever'", "session, app, server_url"),
        ("TestCart.test_pay.__doc__", "it is a NoneType", ""),
        ("TestCart.test_pay.x", "{}.TestCart.test_pay has no 'x'.", ""),
        ("Test Cart", "{}.Test Cart does not name a test.", "package.module.Class.test_method"),
        ("TestCart.", "{}.TestCart. does not name a test.", ""),
        (".TestCart", "{}..TestCart does not name a test.", ""),
    ],
)  # fmt: skip
def test_what_is_no_test_is_refused(shop: str, target: str, message: str, hint: str) -> None:
    with pytest.raises(TargetError) as caught:
        loaded(shop, target)
    assert message.replace("{}", shop) in caught.value.message
    assert hint.replace("{}", shop) in caught.value.hint


@pytest.mark.parametrize(
    "code",
    [
        "async def test(): ...",
        "class TestA:\n    async def test(self): ...",
        "import unittest\nclass Test(unittest.TestCase):\n    async def test(self): ...",
        "import unittest\nclass A(unittest.IsolatedAsyncioTestCase):\n    async def test(s): ...",
        "import unittest\nclass A(unittest.IsolatedAsyncioTestCase):\n    def test(self): ...",
    ],
)
def test_what_needs_an_event_loop_is_refused(project: Project, code: str) -> None:
    """Called, a coroutine would do nothing, and each call would be a success.

    A thread has one running loop, and the users of a worker share a thread.
    """
    with pytest.raises(TargetError, match="needs an event loop") as caught:
        project.load(code)
    assert "plain functions" in caught.value.hint


def test_a_fixture_of_pytest_is_refused(project: Project) -> None:
    with pytest.raises(TargetError) as caught:
        project.load("def test(tmp_path, session): ...")
    assert "asks for 'tmp_path', which Loads does not provide" in caught.value.message
    assert "give other arguments a default" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        ("x = 1\nx = = 2", r"invalid syntax \(module_\d+.py, line 2\)", "    x = = 2"),
        ("def test():\nx", r"expected an indented block .*line 2\)", "    x"),
        ("1 / 0", "ZeroDivisionError: division by zero", "line 1, in <module>\n    1 / 0"),
        ("def f():\n    {}['x']\nf()", "KeyError: 'x'", "line 2, in f\n    {}['x']"),
        ("import sys\nsys.exit(3)", "SystemExit: 3", "line 2, in <module>"),
        ("import no_such_thing", "No module named 'no_such_thing'", "Install what the test needs"),
        ("from os import no_such", "ImportError: cannot import name 'no_such'", "line 1"),
        ("import requests.no_such", "No module named 'requests.no_such'", "Install what"),
        ("import unittest\nraise unittest.SkipTest('not here')", "SkipTest: not here", "line 2"),
    ],
)
def test_a_module_that_cannot_be_imported(
    project: Project, code: str, message: str, hint: str
) -> None:
    """The user's own words and lines: nothing of ours is in the way."""
    with pytest.raises(
        TargetError, match=f"^module_\\d+ cannot be imported: .*{message}"
    ) as caught:
        project.load(code)
    assert hint in caught.value.hint
    assert "loads/worker" not in caught.value.hint


def test_a_mistake_in_what_is_imported_is_shown_there(project: Project) -> None:
    with pytest.raises(TargetError) as caught:
        project.load("import broken", broken="fine = 1\nnot fine = 2\n")
    assert "(broken.py, line 2)" in caught.value.message
    assert caught.value.hint == "    not fine = 2"


def test_no_such_module_at_all(project: Project) -> None:
    with pytest.raises(TargetError, match=r"There is no module 'nowhere' in ") as caught:
        load("nowhere.TestCart.test_pay", str(project.root))
    assert "Run the command in the directory that holds it" in caught.value.hint


# -- packages --------------------------------------------------------------------------------------


@pytest.fixture
def package(project: Project) -> str:
    name = f"package_{next(numbers)}"
    tests = "def test_{}(): ...\n"
    lay(
        project.root,
        {
            f"{name}/__init__.py": tests.format("in_init")
            + "class TestShop:\n    def test(s): ...",
            f"{name}/test_cart.py": tests.format("in_module"),
            f"{name}/broken.py": "import no_such_thing",
            f"{name}/deep/test_till.py": tests.format("deep"),
        },
    )
    return name


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("", ["test_in_init", "TestShop.test"]),
        ("TestShop.test", ["TestShop.test"]),
        ("test_in_init", ["test_in_init"]),
        ("test_cart", ["test_cart.test_in_module"]),
        ("test_cart.test_in_module", ["test_cart.test_in_module"]),
        ("deep.test_till", ["deep.test_till.test_deep"]),
        ("deep.test_till.test_deep", ["deep.test_till.test_deep"]),
    ],
)
def test_as_much_of_a_name_as_is_modules_is_imported(
    package: str, rest: str, expected: list[str]
) -> None:
    """With and without an __init__; the rest are attributes, of a package as well."""
    assert names(package, rest) == expected


def test_nothing_else_of_a_package_is_imported(package: str) -> None:
    names(package, "test_cart")
    assert f"{package}.broken" not in sys.modules
    with pytest.raises(TargetError, match="No module named 'no_such_thing'"):
        names(package, "broken")


def test_a_module_is_suggested_too(package: str) -> None:
    with pytest.raises(TargetError) as caught:
        names(package, "test_crat.test_in_module")
    assert caught.value.hint == f"Did you mean {package}.test_cart?"


def test_unittest_agrees_about_what_is_in_a_module(shop: str) -> None:
    """Of its classes; plain classes and functions are pytest's."""
    suite = unittest.defaultTestLoader.loadTestsFromName(shop)
    theirs = {test.id() for group in suite for test in group}  # type: ignore[union-attr]
    ours = {test.name for test in loaded(shop) if test.is_case}
    (imported,) = theirs - ours
    assert imported.endswith(".Shared.test_shared"), "it would run there and here"
    assert ours < theirs
