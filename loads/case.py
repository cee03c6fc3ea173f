"""What tests are written with.

A :class:`TestCase` runs under ``python -m unittest``, under pytest and as load, unchanged.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from loads.clients.session import Session
from loads.recorder.current import current

_Test = TypeVar("_Test", bound=Callable[..., Any] | type)


def weight(number: int) -> Callable[[_Test], _Test]:
    """Set how often a test (or the tests of a class) is chosen, compared with the others beside it.

    A test without a weight weighs 1.  Raises ``ValueError`` unless ``number`` is a whole number
    from 1 up.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"a weight is a whole number from 1 up, not {number!r}")

    def mark(test: _Test) -> _Test:
        test.__loads_weight__ = number  # type: ignore[union-attr]
        return test

    return mark


class Settings:
    """What the run says to its tests: set once by a worker, before any instance is made."""

    server_url: str = ""
    config: Mapping[str, str] = {}


class TestCase(unittest.TestCase):
    """A functional test that can be executed many times in parallel.

    One instance serves one virtual user, test after test; its ``session`` and so its cookies and
    connections live as long.

    ``server_url``
        The target's base URL.  The class may set it; ``--server-url`` overrides it.
    ``config``
        Settings of the run, by name.
    """

    server_url: str = ""
    config: Mapping[str, str] = {}

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        self.config = Settings.config
        if Settings.server_url:
            self.server_url = Settings.server_url
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        """This user's ``requests.Session``, measured."""
        if self._session is None:
            self._session = Session(current())
        return self._session

    def incr_counter(self, name: object, by: int = 1) -> None:
        """Add ``by`` to the run's counter ``name``, which the summary shows."""
        current().incr_counter(str(name), by)
