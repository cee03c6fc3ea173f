"""The place that the measured session and app had in Loads 1, for tests that import them."""

from __future__ import annotations

from typing import Any

from loads.clients.app import TestApp as _TestApp
from loads.clients.session import Session as _Session

__all__ = ["Session", "TestApp"]


class Session(_Session):
    """As ``self.session`` of a test; takes and ignores the test and its result, as in Loads 1."""

    def __init__(self, test: Any = None, test_result: Any = None) -> None:
        super().__init__()


class TestApp(_TestApp):
    """As ``self.app`` of a test; takes and ignores a session and a result, as in Loads 1."""

    def __init__(
        self, app: str, session: Any = None, test_result: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(app, *args, **kwargs)
