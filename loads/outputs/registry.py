"""The outputs that there are: our own, and those that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loads.outputs.base import Output
from loads.plugins import Plugins

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "loads.outputs"  #: the entry points of others

OURS = {
    "console": "loads.outputs.console:ConsoleOutput",
    "file": "loads.outputs.file:FileOutput",
    "funkload": "loads.outputs.funkload:FunkloadOutput",
    "json": "loads.outputs.json:JsonOutput",
    "null": "loads.outputs.null:NullOutput",
}


class Registry(Plugins[Output]):
    """The outputs that there are.  ``found`` replaces the installed entry points."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        super().__init__(GROUP, "output", OURS, found)
