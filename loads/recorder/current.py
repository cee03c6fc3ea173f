"""The recorder of this process.

A worker installs the one that its supervisor reads.  Everywhere else, as under unittest or
pytest, records go to memory that nobody looks at: the code that records need not know.
"""

from __future__ import annotations

from loads.recorder.memory import Memory
from loads.recorder.writer import Recorder

installed: list[Recorder] = []  #: that, for who cannot afford a call


def install(recorder: Recorder) -> None:
    """Make ``recorder`` the one of this process."""
    installed[:] = [recorder]


def current() -> Recorder:
    """The recorder of this process."""
    if not installed:
        install(Recorder(Memory.create()))
    return installed[0]
