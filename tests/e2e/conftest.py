"""Targets for the tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.targets import Target, serving


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that counts, with nothing counted yet."""
    with serving() as target:
        yield target
