"""What observers say, and what they refuse to be built with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from loads.errors import UsageError
from loads.metrics.summary import RunView
from loads.observers.base import details, headline
from loads.observers.calls import pack_job, unpack_job
from loads.observers.registry import Registry
from loads.protocol.messages import Wish
from tests.unit.outputs.run_views import empty, shop
from tests.unit.strategies import tallies


def ended(**changes: Any) -> RunView:
    return empty(state="ended", status="finished", tally=shop(), **changes)


def test_the_headline_of_a_run() -> None:
    assert headline(ended()) == (
        "Run r1 of shop.TestShop.test_cart: failed. 184 tests succeeded, 12 failed, 3 errored; "
        "200 hits, 5 of them errors, in 10.0 s."
    )
    passed = empty(state="ended", status="finished")
    assert headline(passed).startswith("Run r1 of shop.TestShop.test_cart: passed. 0 tests")
    lost = empty(state="ended", status="incomplete")
    assert headline(lost).startswith("Run r1 of shop.TestShop.test_cart: incomplete.")
    failed = empty(state="ended", status="failed", error="There is no module 'shop'.")
    assert headline(failed) == (
        "Run r1 of shop.TestShop.test_cart failed: There is no module 'shop'."
    )


def test_the_details_are_those_that_people_ask_for() -> None:
    lines = details(ended(warnings=("Worker w/0 was killed.",)))
    assert lines[0] == "10 users, 20 times each = 200 tests in total"
    assert lines[1].startswith("Request times: p50 ")
    assert lines[-1] == "Warning: Worker w/0 was killed."
    assert details(empty())[1:] == [], "no times of what did not happen"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("email", {}, "whom to write to"),
        ("email", {"recipient": "me@example.com", "port": "smtp"}, "is no port"),
        ("email", {"recipient": "me@example.com", "tls": "maybe"}, "is no choice"),
        ("email", {"recipient": "me@example.com\nBcc: all@example.com"}, "cannot write such"),
        ("email", {"recipient": "me@example.com", "subject": "a\r\nb: c"}, "cannot write such"),
        ("irc", {}, "needs a channel"),
        ("irc", {"channel": "#loads"}, "needs a server"),
        ("irc", {"channel": "#a\r\nQUIT", "server": "irc"}, "needs a channel"),
        ("irc", {"channel": "#a", "server": "irc", "nickname": "a b"}, "needs a nickname"),
        ("irc", {"channel": "#a", "server": "irc", "tls": "1"}, "is no choice"),
        ("slack", {}, "needs a URL"),
        ("slack", {"url": "file:///etc/passwd"}, "needs a URL"),
        ("webhook", {"url": "ftp://secret"}, "needs a URL"),
        ("pager", {}, "There is no observer 'pager'"),
        ("irc", {"chanel": "x"}, "has no option 'chanel'"),
    ],
)
def test_what_cannot_work_is_told_when_it_is_built(
    name: str, options: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Registry().build(name, options)
    assert "secret" not in str(caught.value)


def test_ours_are_there_and_say_which_options_are_secrets() -> None:
    registry = Registry()
    assert registry.own == ["email", "irc", "slack", "webhook"]
    secrets = {(name, o.name) for name in registry.own for o in registry.options(name) if o.secret}
    assert secrets == {("email", "password"), ("slack", "url"), ("webhook", "url")}


@settings(deadline=None)  # of which the first imports numpy
@given(tallies())
def test_a_job_is_read_as_it_was_written(tally: Any) -> None:
    view, wish = empty(tally=tally), Wish("irc", (("channel", "#loads"), ("nickname", "ü\n")))
    read, found = unpack_job(pack_job(wish, view))
    assert read == wish
    assert found.tally.pack() == tally.pack()
    assert found.plan == view.plan
