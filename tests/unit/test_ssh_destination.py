"""What ``--ssh`` may name."""

from __future__ import annotations

import pytest

from loads.errors import UsageError
from loads.transport.ssh import Destination, parse_destination


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("box", "box", None),  # a name out of ssh's own configuration
        ("me@box.example.com", "me@box.example.com", None),
        ("me@box:2222", "me@box", 2222),
        ("box:22", "box", 22),
        ("me@[::1]", "me@::1", None),
        ("[fe80::1]:22", "fe80::1", 22),
    ],
)
def test_a_destination(text: str, host: str, port: int | None) -> None:
    assert parse_destination(text) == Destination(host, port)


@pytest.mark.parametrize(
    "text",
    ["", "-oProxyCommand=x", "me@", "@box", "a b", "box:", "box:0", "box:65536", "box:ssh",
     "me@you@box", "::1", "box\n"],
)  # fmt: skip
def test_no_destination(text: str) -> None:
    """What begins with a dash would be an option to ssh, which can run commands here."""
    with pytest.raises(UsageError, match="names no host"):
        parse_destination(text)
