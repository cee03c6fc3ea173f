"""What the user names as the test to run, and where its code is.

Two spellings name a test: ``package.module.Class.method``, as Python would import it, and
``path/test_shop.py::TestShop::test_cart``, as pytest prints it.  Both come to the same: a dotted
name and the directories that it is imported from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loads.errors import TargetError


@dataclass(frozen=True)
class Target:
    """A test and its place.

    ``name`` is its dotted name; ``project`` the directory that all of the user's code is below;
    ``paths`` the directories, relative to ``project``, that imports are looked for in; ``top`` the
    file or directory of the top-level module or package that holds it.  ``installed`` tells that
    this is among the libraries of this Python, where what is beside it is not of its project, and
    ``is_foreign`` that it is none of Python's at all; then there may be no such file.
    """

    name: str
    project: Path
    paths: tuple[str, ...]
    top: Path
    installed: bool = False
    is_foreign: bool = False


def find_target(text: str, directory: Path) -> Target:
    """Find what ``text`` names, from ``directory``.

    Nothing is imported: whether the module holds such a test shows when a worker loads it.
    Raises :class:`TargetError` when there is no such module.
    """
    if "::" in text.partition("[")[0] or text.endswith(".py"):
        return _by_path(text, directory)
    top = text.split(".", maxsplit=1)[0]
    found = _module(directory, top) if top.isidentifier() else None
    if found is None:
        return _installed(text, top, directory)
    return Target(text, directory, (".",), found)


def find_program(text: str, directory: Path) -> Target:
    """Find what an external runner is to run: a file, a module, or what only the runner knows."""
    try:
        return find_target(text, directory)
    except TargetError:
        return Target(text, directory, (".",), directory / text, is_foreign=True)


def _module(directory: Path, name: str) -> Path | None:
    """A package or module, as Python would find it in one directory."""
    package, module = directory / name, directory / f"{name}.py"
    if (package / "__init__.py").is_file():
        return package
    if module.is_file():
        return module
    return package if package.is_dir() else None


def _by_path(text: str, directory: Path) -> Target:
    """A pytest node id.  Packages are found as pytest does: upwards while there is an __init__."""
    text, bracket, case = text.partition("[")  # a case may be called anything
    name, *parts = text.split("::")
    path = Path(directory, name).resolve()
    if not path.is_file():
        raise TargetError(
            f"There is no file {name!r} in {directory}.",
            "A node id is written as path/test_shop.py::TestShop::test_cart.",
        )
    root, module = path.parent, [path.stem]
    while (root / "__init__.py").is_file():
        module.insert(0, root.name)
        root = root.parent
    project = directory.resolve()
    if not root.is_relative_to(project):
        project = root
    here = root.relative_to(project).as_posix()
    paths = (here,) if here == "." else (here, ".")
    top = path if len(module) == 1 else root / module[0]
    return Target(".".join((*module, *parts)) + bracket + case, project, paths, top)


def _installed(text: str, top: str, directory: Path) -> Target:
    """A module that is installed rather than below the directory."""
    from importlib.util import find_spec  # noqa: PLC0415 - tests are hardly ever

    try:
        named = top.isidentifier() and top != "__main__"
        spec = find_spec(top) if named else None
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.origin and spec.origin.endswith(".py"):
        origin = Path(spec.origin)
        found = origin.parent if origin.name == "__init__.py" else origin
        return Target(text, found.parent, (".",), found, _is_library(found.parent))
    raise TargetError(
        f"There is no module {top!r} in {directory}.",
        "Run the command in the directory that holds the test, and name it as "
        "package.module.Class.test_method or path/test_file.py::Class::test_method.",
    )


def _is_library(directory: Path) -> bool:
    import sysconfig  # noqa: PLC0415 - likewise

    paths = sysconfig.get_paths()
    return any(directory == Path(paths[name]) for name in ("stdlib", "purelib", "platlib"))
