"""The user's files on their way to an agent: packed, named by their content, unpacked safely.

A bundle is a zip archive that is the same, byte for byte, for the same files.  Its digest is known
before it is sent and checked before it is opened; what it may put where is checked before anything
is written.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from loads.errors import BundleError, TargetError

MAX_PACKED = 64 << 20  #: bytes of a bundle
MAX_UNPACKED = 512 << 20  #: bytes of all its files
MAX_FILES = 20_000

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


def pack_test(target: str, directory: Path) -> Bundle:
    """Pack the top-level module or package that holds ``target``.

    It is looked for in ``directory`` first, then among what is installed.  Raises
    :class:`TargetError` when there is none, :class:`BundleError` when it cannot travel.
    """
    top = target.split(".", maxsplit=1)[0]
    root, found = _find(top, directory)
    return pack(root, _files(found) if found.is_dir() else iter([found]))


def _find(top: str, directory: Path) -> tuple[Path, Path]:
    """The directory to import ``top`` from, and the file or directory that it is."""
    package, module = directory / top, directory / f"{top}.py"
    if package.is_dir():
        return directory, package
    if module.is_file():
        return directory, module
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.origin and spec.origin.endswith(".py"):
        origin = Path(spec.origin)
        found = origin.parent if origin.name == "__init__.py" else origin
        return found.parent, found
    raise TargetError(
        f"There is no module {top!r} in {directory}.",
        "Run the command in the directory that holds the test, "
        "and name it as package.module.Class.test_method.",
    )


def _files(directory: Path) -> Iterator[Path]:
    """All files below a directory but caches and what is hidden."""
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(f for f in folders if f not in _LEFT_OUT and not f.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith((".pyc", ".pyo")):
                yield Path(folder) / name


def pack(root: Path, files: Iterator[Path]) -> Bundle:
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

    Raises :class:`BundleError`, before anything is written, when the bundle is not the one of
    that digest, is damaged, is too large, or would write anywhere but below ``directory``.
    """
    if digest_of(data) != digest:
        raise BundleError("The bundle is not what its digest says: it was damaged on the way.")
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
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"The bundle is damaged: {error}.") from error
    except OSError as error:
        raise BundleError(f"The test's files cannot be written: {error}.") from error


def _check(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_UNPACKED:
        raise BundleError("The bundle is too large.")
    for member in members:
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise BundleError(f"The bundle would write outside of its directory, to {name!r}.")
        if member.is_dir() or kind not in (0, stat.S_IFREG):
            raise BundleError(f"The bundle holds something that is no file: {name!r}.")
