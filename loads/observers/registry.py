"""The observers that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint

from loads.observers.base import Observer
from loads.plugins import Plugins

GROUP = "loads.observers"


class Registry(Plugins[Observer]):
    """The observers that there are.  ``found`` replaces the installed entry points."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        super().__init__(GROUP, "observer", __package__ or "", found)
