"""What travels to agents: the test, what it imports of its own project, and what was asked for."""

from __future__ import annotations

import io
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from loads.bundle import pack_test, unpack
from loads.errors import BundleError
from loads.target import find_target
from tests.unit.projects import lay


def names(data: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(data)).namelist())


def sent(project: Path, target: str = "test_it", *include: str) -> set[str]:
    """The names of the files that travel."""
    return names(pack_test(find_target(target, project), include).data)


# -- imports ---------------------------------------------------------------------------------------

IMPORTS = {
    "a module": ("import shop", ["shop.py"], ["other.py"]),
    "a module under another name": ("import shop as s", ["shop.py"], []),
    "several at once": ("import shop, till as t", ["shop.py", "till.py"], []),
    "a name of a module": ("from shop import price", ["shop.py"], []),
    "everything of a module": ("from shop import *", ["shop.py"], []),
    "a package": ("import shop", ["shop/__init__.py", "shop/data/words.txt"], ["shop.txt"]),
    "a module of a package": (
        "import shop.deep.till",
        ["shop/__init__.py", "shop/deep/__init__.py", "shop/deep/till.py"],
        [],
    ),
    "a module from a package": (
        "from shop.deep import till",
        ["shop/__init__.py", "shop/deep/__init__.py", "shop/deep/till.py", "shop/unused.py"],
        [],
    ),
    "a package without an __init__": ("from shop import till", ["shop/till.py"], []),
    "a package without an __init__ around another": (
        "from company.shop import till",
        ["company/shop/till.py", "company/shop/data.json"],
        [],
    ),
    "within a condition": (
        "try:\n    import shop\nexcept ImportError:\n    import till",
        ["shop.py", "till.py"],
        [],
    ),
    "for type checkers only": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shop",
        ["shop.py"],
        [],
    ),
    "within a function": ("def test():\n    import shop", ["shop.py"], []),
    "within a class": ("class Test:\n    from shop import price", ["shop.py"], []),
    "what is named in a text only": ("'import shop'  # import shop", [], ["shop.py"]),
    "a folder of data with the name of a library": ("import json", [], ["json/data.json"]),
    "a module that is nowhere": ("import nowhere, shop", ["shop.py"], []),
    "a file that is no Python": ("import shop", [], ["shop", "shop.so.txt"]),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_what_a_test_imports_of_its_project_travels(tmp_path: Path, case: str) -> None:
    """Of a package all of it, with its data: it may import by name, and open what it has."""
    statement, travels, stays = IMPORTS[case]
    lay(tmp_path, {"test_it.py": statement} | dict.fromkeys([*travels, *stays], ""))
    assert sent(tmp_path) == {"test_it.py", *travels}


CHAINS = {
    "a chain": {"test_it.py": "import a", "a.py": "import b", "b.py": "import c", "c.py": ""},
    "a cycle": {"test_it.py": "import a", "a.py": "import b", "b.py": "import a, test_it"},
    "from a package to a module beside it": {
        "test_it.py": "import shop",
        "shop/__init__.py": "",
        "shop/deep/till.py": "from prices import price",
        "prices.py": "",
    },
    "relative ones stay within their package": {
        "test_it.py": "import shop",
        "shop/__init__.py": "from . import till\nfrom .till import x\nfrom .prices import y",
        "shop/till.py": "from .. import shop",
        "shop/prices.py": "",
    },
    "from a file with a mistake, which is the worker's to tell": {
        "test_it.py": "import wrong, right",
        "wrong.py": "import a b",
        "right.py": "",
    },
    "from a file of another encoding": {
        "test_it.py": "# coding: latin-1\nimport other",
        "other.py": "",
    },
}


@pytest.mark.parametrize("case", CHAINS)
def test_what_is_imported_by_what_is_imported_travels(tmp_path: Path, case: str) -> None:
    lay(tmp_path, CHAINS[case] | {"prices.txt": "", "unused.py": "import a"})
    assert sent(tmp_path) == set(CHAINS[case])


def test_a_file_that_is_no_text_hides_nothing(tmp_path: Path) -> None:
    """Null bytes, and bytes of no encoding: neither stops the others from travelling."""
    lay(tmp_path, {"test_it.py": "import odd, odder, fine", "fine.py": ""})
    (tmp_path / "odd.py").write_bytes(b"import a\0")
    (tmp_path / "odder.py").write_bytes(b"# coding: utf-8\nx = '\xff'")
    assert sent(tmp_path) == {"test_it.py", "odd.py", "odder.py", "fine.py"}


def test_a_relative_import_of_a_name_that_the_project_has_too(tmp_path: Path) -> None:
    """``from .json import x`` has nothing to do with a ``json.py`` in the project."""
    lay(tmp_path, ["prices.py", "shop/__init__.py", "shop/prices.py"])
    lay(tmp_path, {"shop/test_it.py": "from .prices import x\nfrom . import prices"})
    assert sent(tmp_path, "shop.test_it") == {
        *("shop/__init__.py", "shop/prices.py", "shop/test_it.py")
    }


def test_what_is_installed_stays(tmp_path: Path) -> None:
    """An agent has it, or is told of it with --python-dep."""
    lay(tmp_path, {"test_it.py": "import requests, gevent, json\nfrom loads import TestCase"})
    assert sent(tmp_path) == {"test_it.py"}


def test_an_installed_test_travels_without_what_is_installed_beside_it() -> None:
    """WebOb and all that it imports are in the same directory, and no more part of the test."""
    files = sent(Path("/"), "webtest.app")
    assert "webtest/app.py" in files
    assert {name.partition("/")[0] for name in files} == {"webtest"}


def test_caches_and_hidden_files_stay(tmp_path: Path) -> None:
    stays = [".git/config", ".env", "__pycache__/x.pyc", "x.pyc", "node_modules/x/y.js", "x.pyo"]
    lay(tmp_path, [f"shop/{name}" for name in ("__init__.py", "test_it.py", "deep/x.md", *stays)])
    assert sent(tmp_path, "shop") == {"shop/__init__.py", "shop/test_it.py", "shop/deep/x.md"}


def test_other_tests_of_the_directory_stay(tmp_path: Path) -> None:
    lay(tmp_path, ["test_it.py", "test_other.py", "conftest.py", "README.rst"])
    assert sent(tmp_path) == {"test_it.py", "conftest.py"}


# -- where imports are looked for ------------------------------------------------------------------


def test_a_rootless_test_imports_from_its_directory_and_from_the_project(tmp_path: Path) -> None:
    """As under pytest, which puts both on the path; its own directory comes first."""
    lay(tmp_path, ["tests/helpers.py", "helpers.py", "shop.py", "tests/unused.py"])
    lay(tmp_path, {"tests/test_it.py": "import helpers, shop"})
    files = sent(tmp_path, "tests/test_it.py::test")
    assert files == {"tests/test_it.py", "tests/helpers.py", "shop.py"}


def test_tests_that_mirror_the_project(tmp_path: Path) -> None:
    """A folder without an __init__ is a package only where there is no other, says PEP 420."""
    lay(tmp_path, ["shop/__init__.py", "shop/till.py", "tests/shop/test_till.py"])
    lay(tmp_path, {"tests/test_it.py": "from shop import till"})
    files = sent(tmp_path, "tests/test_it.py::test")
    assert files == {"tests/test_it.py", "shop/__init__.py", "shop/till.py"}


def test_a_package_without_an_init_may_have_several_parts(tmp_path: Path) -> None:
    lay(tmp_path, ["company/a.py", "tests/company/b.py"])
    lay(tmp_path, {"tests/test_it.py": "from company import a, b"})
    files = sent(tmp_path, "tests/test_it.py::test")
    assert files == {"tests/test_it.py", "company/a.py", "tests/company/b.py"}


def test_a_dotted_name_imports_from_the_project_only(tmp_path: Path) -> None:
    lay(tmp_path, ["src/shop.py"])
    lay(tmp_path, {"test_it.py": "import shop"})
    assert sent(tmp_path) == {"test_it.py"}


def test_what_travels_can_be_imported_where_it_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the directories that the plan names on the path, and none of the project's."""
    project = lay(
        tmp_path / "here",
        {
            "src/travel_store/__init__.py": "from travel_prices import PRICE",
            "src/travel_store/test_it.py": "from . import PRICE\nfrom travel_shop.till import one",
            "travel_prices.py": "PRICE = 30",
            "travel_shop/till.py": "one = 1",
        },
    )
    target = find_target("src/travel_store/test_it.py", project)
    bundle = pack_test(target)
    there = tmp_path / "there"
    there.mkdir()
    unpack(bundle.data, bundle.digest, there)
    monkeypatch.setattr(sys, "path", [*(str(there / path) for path in target.paths), *sys.path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    module = __import__(target.name, fromlist=["one"])
    assert (module.PRICE, module.one) == (30, 1)
    assert Path(module.__file__).is_relative_to(there)


# -- files that the user names ---------------------------------------------------------------------

DATA = (
    "data/a.json",
    "data/b.json",
    "data/c.txt",
    "data/deep/d.json",
    "data/deep/er/e.json",
    "data/.hidden/f.json",
    "data/__pycache__/g.json",
    "words.txt",
    ".env",
    "with [brackets]/h.txt",
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("words.txt", ["words.txt"]),
        ("./words.txt", ["words.txt"]),
        ("data/../words.txt", ["words.txt"]),
        ("*.txt", ["words.txt"]),
        ("data/?.json", ["data/a.json", "data/b.json"]),
        ("data/[ac].*", ["data/a.json", "data/c.txt"]),
        ("data/deep", ["data/deep/d.json", "data/deep/er/e.json"]),
        ("data/deep/", ["data/deep/d.json", "data/deep/er/e.json"]),
        ("data/*", ["data/a.json", "data/b.json", "data/c.txt", "data/deep/d.json",
                    "data/deep/er/e.json"]),
        ("data/**/*.json", ["data/a.json", "data/b.json", "data/deep/d.json",
                            "data/deep/er/e.json"]),
        ("**/e.json", ["data/deep/er/e.json"]),
        (".env", [".env"]),
        ("with [[]brackets]", ["with [brackets]/h.txt"]),
    ],
)  # fmt: skip
def test_included_files(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    """A path, a directory or a pattern; what is hidden travels if it is named itself."""
    lay(tmp_path, ["test_it.py", *DATA])
    files = {name for name in sent(tmp_path, "test_it", pattern) if "__pycache__" not in name}
    assert files == {"test_it.py", *expected}


def test_the_project_may_have_any_name(tmp_path: Path) -> None:
    """What would be a pattern is none where the user did not write it."""
    project = lay(tmp_path / "a [b] *c?", ["test_it.py", "data/a.json"])
    assert sent(project, "test_it", "data/*.json") == {"test_it.py", "data/a.json"}


def test_a_whole_path_is_as_good(tmp_path: Path) -> None:
    lay(tmp_path, ["test_it.py", "data/a.json"])
    assert sent(tmp_path, "test_it", f"{tmp_path}/data") == {"test_it.py", "data/a.json"}


def test_a_way_through_a_link_leads_to_the_same_file(tmp_path: Path) -> None:
    lay(tmp_path / "project", ["test_it.py", "data/a.json"])
    (tmp_path / "link").symlink_to("project")
    expected = {"test_it.py", "data/a.json"}
    for here, there in (("project", "link"), ("link", "project")):
        for target in ("test_it", "test_it.py"):  # one keeps the link, the other follows it
            assert sent(tmp_path / here, target, f"{tmp_path}/{there}/data") == expected


def test_a_file_travels_once_however_often_it_is_named(tmp_path: Path) -> None:
    lay(tmp_path, ["test_it.py", "data/a.json"])
    target = find_target("test_it", tmp_path)
    data = pack_test(target, ("data", "data/*", "data/a.json", "test_it.py")).data
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["data/a.json", "test_it.py"]


def test_what_an_included_module_imports_is_not_looked_for(tmp_path: Path) -> None:
    """It was named as a file, and may be a sample that is never run."""
    lay(tmp_path, {"test_it.py": "", "plugins/one.py": "import other", "other.py": ""})
    assert sent(tmp_path, "test_it", "plugins") == {"test_it.py", "plugins/one.py"}


def test_modes_are_kept(tmp_path: Path) -> None:
    lay(tmp_path, ["test_it.py", "bin/tool", "bin/secret"])
    (tmp_path / "bin/tool").chmod(0o755)
    (tmp_path / "bin/secret").chmod(0o600)
    bundle = pack_test(find_target("test_it", tmp_path), ["bin"])
    there = tmp_path / "there"
    there.mkdir()
    unpack(bundle.data, bundle.digest, there)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (there / "bin").iterdir()}
    assert modes == {"tool": 0o755, "secret": 0o600}


@pytest.mark.parametrize("pattern", ["../outside.txt", "..", "/etc/passwd", "link", "folder/*"])
def test_what_is_outside_of_the_project_is_refused(tmp_path: Path, pattern: str) -> None:
    """On an agent it would have no place; and a link must not smuggle it in."""
    lay(tmp_path, ["outside.txt", "secrets/key"])
    project = lay(tmp_path / "project", ["test_it.py"])
    (project / "link").symlink_to("../outside.txt")
    (project / "folder").symlink_to("../secrets")
    with pytest.raises(BundleError, match="is outside of") as caught:
        sent(project, "test_it", pattern)
    assert pattern in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("pattern", ["no.txt", "data/*.xml", "../project-too/x", "/no/such/file"])
def test_a_pattern_that_names_nothing_is_refused(tmp_path: Path, pattern: str) -> None:
    """It is a slip of the pen, and the test would fail much later, elsewhere."""
    lay(tmp_path, ["test_it.py", "data/a.json"])
    with pytest.raises(BundleError, match="names no file") as caught:
        sent(tmp_path, "test_it", "data", pattern)
    assert f"--include-file {pattern} " in caught.value.message


def test_the_same_project_is_the_same_bundle(tmp_path: Path) -> None:
    """Wherever it is: so an agent that has it need not be sent it again."""
    digests = set()
    for place in ("one", "two"):
        lay(tmp_path / place, {"test_it.py": "import shop", "shop.py": "", "data/a": ""})
        target = find_target("test_it", tmp_path / place)
        digests.add(pack_test(target, ["data"]).digest)
    assert len(digests) == 1


def test_linked_directories_of_the_project_travel_as_what_they_point_to(tmp_path: Path) -> None:
    """Once each, without going round in circles, and never from outside of the project."""
    project = tmp_path / "project"
    for folder in ("shop/pages", "shared/deep", "../outside"):
        (project / folder).mkdir(parents=True)
    for name in ("shop/__init__.py", "shared/a.py", "shared/deep/b.txt", "../outside/secret.txt"):
        (project / name).write_text(name)
    (project / "shop/common").symlink_to("../shared")
    (project / "shop/out").symlink_to("../../outside")
    (project / "shop/pages/up").symlink_to("..")
    (project / "shared/deep/round").symlink_to(".")
    target = find_target("shop.test_it", project)
    names = zipfile.ZipFile(io.BytesIO(pack_test(target).data)).namelist()
    assert names == ["shop/__init__.py", "shop/common/a.py", "shop/common/deep/b.txt"]


def test_what_pytest_would_do_travels_with_a_test(tmp_path: Path) -> None:
    """So that an agent refuses what this machine refuses; other tests' files stay here."""
    for name in ("conftest.py", "tests/conftest.py", "tests/test_it.py", "others/conftest.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    target = find_target("tests/test_it.py::test_it", tmp_path)
    names = zipfile.ZipFile(io.BytesIO(pack_test(target).data)).namelist()
    assert names == ["conftest.py", "tests/conftest.py", "tests/test_it.py"]
