"""Descriptors: the decision, without a limit of this process being touched."""

from __future__ import annotations

import os

import pytest

from loads.descriptors import (
    FALLBACK,
    MOST,
    RESERVE,
    crowding,
    current_limit,
    in_use,
    shortage,
    wanted_limits,
)


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        pytest.param(1_024, 20_000, [20_000, FALLBACK], id="the usual case"),
        pytest.param(1_024, 4_096, [4_096, 4_096], id="a low hard limit"),
        pytest.param(20_000, 20_000, [], id="raised already"),
        pytest.param(15_000, 20_000, [20_000], id="never lowered to what others fall back to"),
        pytest.param(256, MOST, [MOST, FALLBACK], id="no limit, but perhaps one after all"),
        pytest.param(1_024, 1 << 30, [MOST, FALLBACK], id="more than anybody needs"),
        pytest.param(1 << 30, 1 << 30, [], id="more than anybody needs, and not taken away"),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_it_goes(
    soft: int, hard: int, wanted: list[int]
) -> None:
    assert wanted_limits(soft, hard) == wanted


@pytest.mark.parametrize("users", [1, 960, 1_024 - RESERVE])
def test_enough_descriptors_are_no_news(users: int) -> None:
    assert shortage(users, 1_024) == ""


def test_too_few_descriptors_are_told_with_what_is_needed_and_the_remedy() -> None:
    said = shortage(10_000, 1_024)
    assert "1,024 files" in said
    assert "its 10,000 users need 10,064" in said
    assert "ulimit -n 10064" in said
    assert "LimitNOFILE=10064" in said


def test_the_first_user_too_many_is_told() -> None:
    assert shortage(1_024 - RESERVE + 1, 1_024)


@pytest.mark.parametrize(("used", "limit"), [(0, 1_024), (819, 1_024), (0, 1)])
def test_room_for_more_is_no_news(used: int, limit: int) -> None:
    assert crowding(used, limit) == ""


@pytest.mark.parametrize("used", [1_640, 2_048])
def test_few_descriptors_that_are_left_are_told_with_the_remedy(used: int) -> None:
    said = crowding(used, 2_048)
    assert said.startswith(f"{used:,} files and connections are open, of 2,048 that there can be")
    assert "ulimit -n" in said


def test_those_in_use_are_counted() -> None:
    before = in_use()
    with open(os.devnull), open(os.devnull):
        assert in_use() == before + 2
    assert 0 < before < current_limit()
