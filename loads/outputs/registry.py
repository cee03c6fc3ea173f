"""The outputs that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint

from loads.outputs.base import Output
from loads.plugins import Plugins

GROUP = "loads.outputs"


class Registry(Plugins[Output]):
    """The outputs that there are.  ``found`` replaces the installed entry points."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        super().__init__(GROUP, "output", __package__ or "", found)
