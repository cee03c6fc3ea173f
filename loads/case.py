"""What tests are written with.

A :class:`TestCase` runs under ``python -m unittest``, under pytest and as load, unchanged.
"""

from __future__ import annotations

import time
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from loads.clients.session import Session
from loads.errors import UsageError
from loads.metrics.series import TIMING, SeriesKey, Verdict
from loads.recorder.current import current

if TYPE_CHECKING:
    from loads.clients.app import TestApp
    from loads.clients.websocket import WebSocketClient

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
    config: Mapping[str, Any] = {}


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
    config: Mapping[str, Any] = {}

    def __init__(
        self, methodName: str = "runTest", test_result: object = None, config: object = None
    ) -> None:
        """``test_result`` and ``config`` are accepted because tests pass them on since Loads 1."""
        super().__init__(methodName)
        self.config = Settings.config
        if Settings.server_url:
            self.server_url = Settings.server_url

    @cached_property
    def session(self) -> Session:
        """This user's ``requests.Session``, measured.  A test may set another."""
        return Session()

    @cached_property
    def app(self) -> TestApp:
        """This user's ``webtest.TestApp`` on :attr:`server_url`, measured.

        Setting ``self.app.server_url`` points it elsewhere.  Raises :class:`UsageError` when there
        is no URL to point it to.  A test may set another app.
        """
        from loads.clients.app import TestApp

        if not self.server_url:
            raise UsageError(
                "self.app needs to know where the server is.",
                "Set server_url in the class, or run with --server-url http://...",
            )
        return TestApp(self.server_url)

    def create_ws(
        self,
        url: str,
        callback: Callable[[Any], object] | None = None,
        protocols: Sequence[str] | None = None,
        extensions: Sequence[str] | None = None,
        klass: type[Any] | None = None,
    ) -> WebSocketClient:
        """Open a web socket, measured; it is closed when the test ends.

        ``callback`` is called with each message that arrives; messages can also be waited for with
        ``receive()``.  ``klass`` is a ws4py client class to use instead of ours.  An exception in
        the callback is an error (or, of an assertion, a failure) of the test.
        """
        from loads.clients.websocket import create_ws, finish

        socket = create_ws(url, callback, protocols, extensions, klass)
        self.addCleanup(finish, socket)
        return socket

    def incr_counter(self, name: object, by: int = 1) -> None:
        """Add ``by`` to the run's counter ``name``, which the summary shows."""
        current().incr_counter(str(name), by)

    def record(self, name: object, seconds: float) -> None:
        """Add a timing of the test's own to the run's timings called ``name``."""
        record = current().series(SeriesKey(TIMING, str(name)))
        record.record(int(seconds * 1e6), Verdict.SUCCESS)

    @contextmanager
    def timed(self, name: object) -> Iterator[None]:
        """Measure what is done within, as a timing called ``name``; also if it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.record(name, time.perf_counter() - start)


def _without_warning(name: str) -> Callable[..., Any]:
    def alias(self: TestCase, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, name)(*args, **kwargs)

    alias.__doc__ = f"The name that :meth:`{name}` had in older Pythons."
    return alias


# Python 3.12 dropped these names, and tests written for Loads 1 are full of them.
for _old, _new in {
    "assertEquals": "assertEqual",
    "assertNotEquals": "assertNotEqual",
    "assertAlmostEquals": "assertAlmostEqual",
    "assertNotAlmostEquals": "assertNotAlmostEqual",
    "assertRegexpMatches": "assertRegex",
    "assertNotRegexpMatches": "assertNotRegex",
    "assertRaisesRegexp": "assertRaisesRegex",
    "assertItemsEqual": "assertCountEqual",
    "assert_": "assertTrue",
    "failUnless": "assertTrue",
    "failIf": "assertFalse",
    "failUnlessEqual": "assertEqual",
    "failIfEqual": "assertNotEqual",
    "failUnlessAlmostEqual": "assertAlmostEqual",
    "failIfAlmostEqual": "assertNotAlmostEqual",
    "failUnlessRaises": "assertRaises",
}.items():
    setattr(TestCase, _old, _without_warning(_new))
