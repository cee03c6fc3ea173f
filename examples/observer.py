"""An observer of one's own: keeps a diary of runs, a line each.

In the package's ``pyproject.toml``::

    [project.entry-points."loads.observers"]
    diary = "examples.observer:Diary"

Then: ``loads-runner test_site --observer diary --observer-diary-file runs.txt``
"""

from typing import ClassVar

from loads.metrics.summary import RunView
from loads.observers.base import ObserverOption, headline


class Diary:
    """Adds a line to a file for each run that has ended."""

    options: ClassVar[tuple[ObserverOption, ...]] = (
        ObserverOption("file", "runs.txt", "the diary, as the broker sees it"),
    )

    def __init__(self, file: str) -> None:
        self._file = file

    def tell(self, view: RunView) -> None:
        with open(self._file, "a") as diary:
            diary.write(headline(view) + "\n")
