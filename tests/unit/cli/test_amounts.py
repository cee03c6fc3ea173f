"""Sizes and ages as people write them."""

from __future__ import annotations

import click
import pytest

from loads.cli.amounts import age, size


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("100", 100), ("1k", 1024), ("500MB", 500 << 20), (" 1.5 GiB ", 3 << 29), ("2t", 2 << 40)],
)
def test_sizes(text, bytes_):
    assert size(text) == bytes_


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2m", 120), ("1.5h", 5400), ("90d", 7776000), ("1w", 604800)],
)
def test_ages(text, seconds):
    assert age(text) == seconds


@pytest.mark.parametrize("text", ["", "a lot", "-1MB", "1PB", "MB"])
def test_what_is_no_size(text):
    with pytest.raises(click.BadParameter, match="500MB"):
        size(text)


@pytest.mark.parametrize("text", ["", "90", "1y", "-1d"])
def test_what_is_no_age(text):
    with pytest.raises(click.BadParameter, match="90d"):
        age(text)
