"""The outputs that there are: our own, and those that are installed."""

from __future__ import annotations

from typing import ClassVar

from loads.outputs.base import Output
from loads.plugins import Plugins


class Registry(Plugins[Output]):
    """Finds outputs by their names."""

    group = "loads.outputs"
    noun = "output"
    ours: ClassVar = {
        "console": "loads.outputs.console:ConsoleOutput",
        "file": "loads.outputs.file:FileOutput",
        "funkload": "loads.outputs.funkload:FunkloadOutput",
        "json": "loads.outputs.json:JsonOutput",
        "null": "loads.outputs.null:NullOutput",
    }
