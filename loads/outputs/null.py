"""The output that is none."""

from __future__ import annotations

from typing import ClassVar

from loads.metrics.summary import RunView
from loads.outputs.base import OutputOption


class NullOutput:
    """Shows and writes nothing: the exit status alone tells how the run went."""

    options: ClassVar[tuple[OutputOption, ...]] = ()

    def start(self, view: RunView) -> None:
        pass

    def update(self, view: RunView) -> None:
        pass

    def finish(self, view: RunView) -> None:
        pass
