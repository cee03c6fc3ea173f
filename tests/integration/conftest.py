"""A short directory for sockets, and a target."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.targets import Target, serving


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for the name of a Unix socket."""
    path = Path(tempfile.mkdtemp(prefix="l-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that counts, with nothing counted yet."""
    with serving() as target:
        yield target
