"""What a test needs installed beside itself, kept between runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from loads.errors import UsageError


def cache_directory() -> Path:
    """Where agents of this user keep what they installed."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "loads" / "python-deps"


class Installation:
    """Requirements on their way into a directory of their own, by pip, in a process of its own.

    Done once for each set of requirements and version of Python.  It is made beside its place and
    then renamed, so that a directory that is there is complete, whoever was killed when.

    A requirement that begins with ``./`` is a file or directory below ``root`` that has travelled
    with the test: what it holds is part of what the set is known by.
    """

    def __init__(self, requirements: tuple[str, ...], root: Path) -> None:
        contents = [_content(root / name) for name in sorted(requirements) if name[:2] == "./"]
        names = "\n".join((sys.version, *sorted(requirements), *contents))
        self.directory = cache_directory() / hashlib.sha256(names.encode()).hexdigest()[:32]
        self._process: subprocess.Popen[str] | None = None
        self._scratch = ""
        if not requirements or self.directory.is_dir():
            return
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._scratch = tempfile.mkdtemp(dir=self.directory.parent, prefix="installing-")
        self._said = Path(self._scratch) / "pip.log"
        with self._said.open("w") as said:
            self._process = subprocess.Popen(  # noqa: S603 - who submits a run may run code here
                [
                    *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check"),
                    *("--no-input", "--target", f"{self._scratch}/packages", *requirements),
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=root,
                text=True,
            )

    def is_done(self) -> bool:
        """Whether everything is installed.

        Raises :class:`UsageError` with pip's words when it cannot be.
        """
        if self._process is None:
            return True
        if self._process.poll() is None:
            return False
        failed, words = self._process.returncode, self._said.read_text(errors="replace")
        self._process = None
        if failed:
            self.close()
            raise UsageError("pip cannot install what the test needs.", _last_lines(words))
        if not self.directory.is_dir():
            try:
                os.rename(f"{self._scratch}/packages", self.directory)
            except OSError:
                if not self.directory.is_dir():  # else another agent was faster
                    raise
        self.close()
        return True

    def close(self) -> None:
        """Stop, and leave nothing unfinished behind."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = ""


def _content(path: Path) -> str:
    """What identifies a file, or all files of a directory with their names."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            data = file.read_bytes()
            digest.update(f"{file.relative_to(path)}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _last_lines(words: str, most: int = 12) -> str:
    return "\n".join(words.strip().splitlines()[-most:])
