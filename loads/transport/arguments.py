"""Tokens in command lines.  A command looks for one before all else, so this imports little."""

from __future__ import annotations

import re

PREFIX = "loads1_"  #: begins every token
VARIABLE = "LOADS_BROKER"  #: where a token may be as well; it is no business of a test's
PIPE = "@/dev/fd/"  #: before the number of a descriptor: how a command gives itself its token
_TOKEN = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_=-]+")


def token_in(arguments: list[str]) -> str:
    """The token, whole or damaged, in a command line; empty, when there is none."""
    return next((match[0] for arg in arguments if (match := _TOKEN.search(arg))), "")
