"""The user's files on their way to an agent: packed, named by their content, unpacked safely.

A bundle is a zip archive that is the same, byte for byte, for the same files.  Its digest is known
before it is sent and checked before it is opened; what it may put where is checked before anything
is written.
"""

from __future__ import annotations

import ast
import glob
import hashlib
import io
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from loads.errors import BundleError
from loads.target import Target

MAX_PACKED = 64 << 20  #: bytes of a bundle
MAX_UNPACKED = 512 << 20  #: bytes of all its files
MAX_FILES = 20_000

# The records that the directory of a zip archive is made of (PKWARE's APPNOTE, 4.3.12 and 4.3.16).
_ENTRY = struct.Struct("<4s24x3H12x")  #: signature; lengths of the name and of two more fields
_END = struct.Struct("<4s2x2x2xHII2x")  #: signature; entries; size of the directory, and its place
_LOCATOR = 20  #: bytes of what leads to a directory that is too large for these
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a bundle's name depends on its content, not on the time
_LEFT_OUT = {"__pycache__", "node_modules"}


@dataclass(frozen=True)
class Bundle:
    """Packed files.  ``digest`` is the SHA-256 of ``data`` in hexadecimal."""

    data: bytes
    digest: str


def digest_of(data: bytes) -> str:
    """What a bundle is known by."""
    return hashlib.sha256(data).hexdigest()


def pack_test(target: Target, include: Sequence[str] = (), where: Path | None = None) -> Bundle:
    """Pack what a test needs: its module or package, what that imports of the same project, and
    the files that ``include`` names (paths, directories or globs, relative to ``where``).

    Raises :class:`BundleError` when something cannot travel.
    """
    there = target.top.is_file() or not target.is_foreign
    files = set(
        _files(target.top, target.project) if target.top.is_dir() else [target.top] if there else []
    )
    if not target.installed:
        files |= _conftests(target)
        files |= imported_files(files, target)
    files |= set(_included(include, where or target.project, target.project))
    return pack(target.project, sorted(files))


def _conftests(target: Target) -> set[Path]:
    """The files that say what pytest would do for a test: those above it, up to the project."""
    above = [folder for folder in target.top.parents if folder.is_relative_to(target.project)]
    return {path for folder in above if (path := folder / "conftest.py").is_file()}


def imported_files(files: Iterable[Path], target: Target) -> set[Path]:
    """What some modules import of their own project, directly or not.

    Found by reading ``import`` statements, without running anything.  Of a package, everything
    travels: data files in it, and modules that it imports by name at run time.
    """
    found: set[Path] = set()
    waiting = [path for path in files if path.suffix == ".py"]
    seen: set[str] = set()
    while waiting:
        for name in _imports(waiting.pop()) - seen:
            seen.add(name)
            new = set(_module_files(name, target)) - found
            found |= new
            waiting += [path for path in new if path.suffix == ".py"]
    return found


def _imports(path: Path) -> set[str]:
    """The top-level names that a module imports; none when it is no Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return set()  # importing it will say what is wrong
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".", 1)[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".", 1)[0])
    return names


def _module_files(name: str, target: Target) -> Iterator[Path]:
    """The files of a module or package of the project, if it has one of that name."""
    directories = [target.project / path for path in target.paths]
    for directory in directories:
        if (directory / name / "__init__.py").is_file():
            yield from _files(directory / name, target.project)
            return
        if (directory / f"{name}.py").is_file():
            yield directory / f"{name}.py"
            return
    for directory in directories:  # parts of a package without an __init__: the last resort
        files = list(_files(directory / name, target.project))
        if any(path.suffix == ".py" for path in files):
            yield from files


def _included(patterns: Sequence[str], where: Path, project: Path) -> Iterator[Path]:
    """The files that the user names beside the code."""
    for pattern in patterns:
        names = glob.glob(pattern, root_dir=where, recursive=True)
        found = sorted(Path(os.path.normpath(where / name)) for name in names)
        if not found:
            raise BundleError(
                f"--include-file {pattern} names no file in {where}.",
                "Give a path, a directory or a pattern such as 'data/*.json'.",
            )
        for path in found:
            resolved = path.resolve()
            if not resolved.is_relative_to(project.resolve()):
                raise BundleError(
                    f"--include-file {pattern}: {path} is outside of {project}.",
                    "What travels lies below the directory that the test is in.",
                )
            # what was named by a way through a link lies where the others do as well
            place = project / resolved.relative_to(project.resolve())
            own = path if path.is_relative_to(project) else place
            yield from _files(own, project) if own.is_dir() else [own]


def _files(directory: Path, root: Path) -> Iterator[Path]:
    """All files below a directory but caches and what is hidden.

    A directory that is a link is followed, as an import would, unless it leads out of ``root`` or
    back to a directory that it is in.
    """
    top = os.path.realpath(root)

    def is_ours(folder: str, name: str) -> bool:
        if name in _LEFT_OUT or name.startswith("."):
            return False
        path = os.path.join(folder, name)
        if not os.path.islink(path):
            return True
        there, here = os.path.realpath(path), os.path.realpath(folder)
        return _is_below(there, top) and not _is_below(here, there)

    for folder, folders, names in os.walk(directory, followlinks=True):
        folders[:] = sorted(name for name in folders if is_ours(folder, name))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith((".pyc", ".pyo")):
                yield Path(folder) / name


def _is_below(path: str, directory: str) -> bool:
    """Whether a path is a directory or in it; neither goes through links."""
    return os.path.join(path, "").startswith(os.path.join(directory, ""))


def pack(root: Path, files: Iterable[Path]) -> Bundle:
    """Pack some files below ``root`` under their names relative to it, with their modes."""
    buffer = io.BytesIO()
    size = count = 0
    try:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                if not path.is_file():  # a socket, a pipe, a link to nowhere
                    continue
                content = path.read_bytes()
                size, count = size + len(content), count + 1
                if size > MAX_UNPACKED or count > MAX_FILES:
                    raise BundleError(
                        f"{root} holds too much to send: over {MAX_UNPACKED >> 20} MB "
                        f"or {MAX_FILES:,} files.",
                        "Move the test into a directory of its own.",
                    )
                info = zipfile.ZipInfo(path.relative_to(root).as_posix(), _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = (stat.S_IFREG | (path.stat().st_mode & 0o777)) << 16
                archive.writestr(info, content)
    except OSError as error:
        raise BundleError(f"The test's files cannot be read: {error}.") from error
    data = buffer.getvalue()
    if len(data) > MAX_PACKED:
        raise BundleError(
            f"The test's files are {len(data) >> 20} MB packed, and {MAX_PACKED >> 20} MB can be "
            "sent.",
            "Move the test into a directory of its own.",
        )
    return Bundle(data, digest_of(data))


def unpack(data: bytes, digest: str, directory: Path) -> None:
    """Write a bundle's files below ``directory``, which exists.

    Raises :class:`BundleError` when the bundle is not the one of that digest, is damaged, is too
    large, or would write anywhere but below ``directory``.  Then nothing was written, but for
    files before one whose own content turns out to be damaged.
    """
    if digest_of(data) != digest:
        raise BundleError("The bundle is not what its digest says: it was damaged on the way.")
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check(members)
            left = MAX_UNPACKED
            for member in members:
                with archive.open(member) as source:
                    content = source.read(left + 1)
                left -= len(content)
                if left < 0:  # its directory may lie about sizes
                    raise BundleError("The bundle is larger than it says.")
                path = directory / member.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod((member.external_attr >> 16) & 0o777 | 0o600)
    except BundleError:
        raise
    except (OSError, MemoryError) as error:
        raise BundleError(f"The test's files cannot be written: {error}.") from error
    except Exception as error:  # zipfile has no list of what damaged bytes make it raise
        raise BundleError(f"The bundle is damaged: {error}.") from error


def copy_to(place: Path, directory: Path) -> None:
    """Copy what is below ``directory`` to ``place``, which is made if it is not there.

    Each file appears there as a whole, because others may run the same test in the same place.
    Raises :class:`BundleError` when that is not possible, or when ``place`` is somebody else's, who
    could have laid links out of it.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        if place.stat().st_uid != os.geteuid():
            raise BundleError(
                f"{place} belongs to somebody else.", "Name another directory with --test-dir."
            )
        for path in directory.rglob("*"):
            if path.is_file():
                _copy_whole(path, place / path.relative_to(directory))
    except OSError as error:
        raise BundleError(
            f"The test's files cannot be copied to {place}: {error}.",
            "Name another directory with --test-dir.",
        ) from error


def _copy_whole(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.copy2(path, draft)
    draft.replace(place)


def _check_directory(data: bytes) -> None:
    """Raises :class:`BundleError` for a directory that is too large, or is not such as we write.

    ``zipfile`` makes an object of each entry, as far as the directory is long and whatever its end
    says: 64 MB of them take minutes and gigabytes.  So they are counted before it sees them.
    """
    end = len(data) - _END.size
    damaged = BundleError("The bundle is damaged: it has no directory of files.")
    if end < 0 or data.startswith(b"PK\6\7", max(0, end - _LOCATOR)):
        raise damaged
    signature, told, size, start = _END.unpack_from(data, end)
    if signature != b"PK\5\6" or start + size != end:
        raise damaged
    at = count = 0
    while at < size and count <= MAX_FILES:
        if at + _ENTRY.size > size:
            raise damaged
        signature, *lengths = _ENTRY.unpack_from(data, start + at)
        if signature != b"PK\1\2":
            raise damaged
        at, count = at + _ENTRY.size + sum(lengths), count + 1
    if max(count, told) > MAX_FILES:
        raise BundleError("The bundle is too large.")
    if at != size or count != told:
        raise damaged


def _check(members: list[zipfile.ZipInfo]) -> None:
    if sum(member.file_size for member in members) > MAX_UNPACKED:
        raise BundleError("The bundle is too large.")
    for member in members:
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise BundleError(f"The bundle would write outside of its directory, to {name!r}.")
        if member.is_dir() or kind not in (0, stat.S_IFREG):
            raise BundleError(f"The bundle holds something that is no file: {name!r}.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f"The bundle is packed in a way that is not ours: {name!r}.")
