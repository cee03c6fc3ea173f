"""Where the tests of workers put their users' projects."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's directory, on the path as in a worker."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path
