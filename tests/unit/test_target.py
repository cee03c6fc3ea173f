"""Targets: what a name or a node id comes to, found by looking at files only."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loads.errors import TargetError
from loads.target import Target, find_target
from tests.unit.projects import lay

#: A project of every usual layout at once.
PROJECT = (
    "test_flat.py",
    "shop/__init__.py",
    "shop/test_cart.py",
    "shop/deep/__init__.py",
    "shop/deep/test_till.py",
    "names/test_plain.py",
    "names/deep/test_plainer.py",
    "tests/test_rootless.py",
    "tests/more/test_rootless_too.py",
    "src/store/__init__.py",
    "src/store/test_stock.py",
    "twice.py",
    "twice/data.json",
    "both.py",
    "both/__init__.py",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return lay(tmp_path / "project", PROJECT)


def relative(target: Target) -> tuple[str, tuple[str, ...], str]:
    """A target without the directory that the test is in."""
    return target.name, target.paths, target.top.relative_to(target.project).as_posix()


# -- dotted names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "top"),
    [
        ("test_flat", "test_flat.py"),
        ("test_flat.TestFlat.test_it", "test_flat.py"),
        ("test_flat.whatever.it.may.be", "test_flat.py"),
        ("shop", "shop"),
        ("shop.test_cart.TestCart.test_pay", "shop"),
        ("shop.deep.test_till", "shop"),
        ("names.test_plain.test_it", "names"),
        ("tests.more.test_rootless_too.test_it", "tests"),
        pytest.param("twice.test_it", "twice.py", id="a folder of data beside the module"),
        pytest.param("both.test_it", "both", id="a package goes before a module, as in Python"),
    ],
)
def test_a_dotted_name(project: Path, text: str, top: str) -> None:
    """It is taken as it stands; what travels is its top-level module or package."""
    target = find_target(text, project)
    assert relative(target) == (text, (".",), top)
    assert target.project == project
    assert not target.installed


@pytest.mark.parametrize(
    "text", ["", ".", ".shop", "..", "no.such", "shop/test_cart", "a-b.c", "*"]
)
def test_what_is_no_module_is_refused(project: Path, text: str) -> None:
    with pytest.raises(TargetError) as caught:
        find_target(text, project)
    assert caught.value.message.startswith("There is no module ")
    assert str(project) in caught.value.message
    assert "path/test_file.py::Class::test_method" in caught.value.hint


# -- node ids --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "paths", "top"),
    [
        ("test_flat.py", "test_flat", (".",), "test_flat.py"),
        ("./test_flat.py::test_it", "test_flat.test_it", (".",), "test_flat.py"),
        ("test_flat.py::TestFlat::test_it", "test_flat.TestFlat.test_it", (".",), "test_flat.py"),
        ("shop/test_cart.py::TestCart", "shop.test_cart.TestCart", (".",), "shop"),
        ("shop/deep/test_till.py::test", "shop.deep.test_till.test", (".",), "shop"),
        ("shop/../shop/test_cart.py::test", "shop.test_cart.test", (".",), "shop"),
        (
            "tests/test_rootless.py::test",
            "test_rootless.test",
            ("tests", "."),
            "tests/test_rootless.py",
        ),
        (
            "tests/more/test_rootless_too.py::Test::Inner::test",
            "test_rootless_too.Test.Inner.test",
            ("tests/more", "."),
            "tests/more/test_rootless_too.py",
        ),
        ("src/store/test_stock.py::test", "store.test_stock.test", ("src", "."), "src/store"),
    ],
)
def test_a_node_id(project: Path, text: str, name: str, paths: tuple[str, ...], top: str) -> None:
    """Named from where the packages end, as pytest does it, which is where imports then start.

    The directory of the run is imported from as well: tests without a package import the project.
    """
    target = find_target(text, project)
    assert relative(target) == (name, paths, top)
    assert target.project == project


def test_a_node_id_with_a_whole_path(project: Path) -> None:
    target = find_target(f"{project}/shop/test_cart.py::test", project)
    assert relative(target) == ("shop.test_cart.test", (".",), "shop")


def test_a_directory_inside_of_a_package(project: Path) -> None:
    """The package is what it is, wherever the command is run; so the project is around it."""
    target = find_target("test_till.py::test", project / "shop" / "deep")
    assert relative(target) == ("shop.deep.test_till.test", (".",), "shop")
    assert target.project == project


def test_a_file_outside_of_the_directory(project: Path) -> None:
    """Then its own directory is the project: what else is in that of the run is not of it."""
    target = find_target("../../test_flat.py::test", project / "tests" / "more")
    assert relative(target) == ("test_flat.test", (".",), "test_flat.py")
    assert target.project == project


def test_a_directory_behind_a_link(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    target = find_target("tests/test_rootless.py::test", tmp_path / "link")
    assert relative(target)[1:] == (("tests", "."), "tests/test_rootless.py")
    assert target.project == project.resolve()


@pytest.mark.parametrize("text", ["no.py", "no.py::test", "shop::test", "shop/no.py", "::test"])
def test_a_missing_file_is_refused(project: Path, text: str) -> None:
    with pytest.raises(TargetError, match="There is no file") as caught:
        find_target(text, project)
    assert repr(text.partition("::")[0]) in caught.value.message


@pytest.mark.parametrize("case", ["[1]", "[]", "[a::b]", "[a-\n]", "[[x]]", "[http://host/]"])
def test_a_case_of_a_parametrised_test_keeps_its_name(project: Path, case: str) -> None:
    """pytest lets it be any text; whether there is such a case, the worker finds out."""
    assert find_target(f"test_flat.py::test_it{case}", project).name == f"test_flat.test_it{case}"


# -- installed modules -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "top"), [("requests.sessions", "requests"), ("json.tool", "json"), ("this", "this.py")]
)
def test_an_installed_module(tmp_path: Path, text: str, top: str) -> None:
    """Tests may come with a package.  What is installed beside it is not of its project."""
    target = find_target(text, tmp_path)
    assert relative(target) == (text, (".",), top)
    assert target.installed


def test_a_module_on_the_path_is_of_a_project_like_any_other(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those are that are installed to be edited."""
    monkeypatch.syspath_prepend(str(project / "src"))
    target = find_target("store.test_stock", tmp_path)
    assert relative(target) == ("store.test_stock", (".",), "store")
    assert not target.installed


@pytest.mark.parametrize("text", ["sys", "_thread.x", "__main__", "builtins"])
def test_a_module_without_a_file_cannot_travel(tmp_path: Path, text: str) -> None:
    with pytest.raises(TargetError, match="There is no module"):
        find_target(text, tmp_path)


def test_the_project_goes_before_what_is_installed(tmp_path: Path) -> None:
    lay(tmp_path, ["json/test_it.py"])
    assert find_target("json.test_it", tmp_path).project == tmp_path


def test_nothing_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the test, whose imports may have effects, nor a package around it."""
    explosive = "raise SystemExit('imported')"
    for place in ("here", "installed"):
        package = {f"{place}_{name}": explosive for name in ("bomb/__init__.py", "bomb/test_it.py")}
        lay(tmp_path / place, package)
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    find_target("here_bomb.test_it.test", tmp_path / "here")
    find_target("here_bomb/test_it.py::test", tmp_path / "here")
    find_target("installed_bomb.test_it.test", tmp_path / "here")
    assert not [name for name in sys.modules if "bomb" in name]
