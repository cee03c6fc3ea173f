"""Memory that two processes share and nobody has to clean up.

It is known by a file descriptor only.  When the last process that holds it is gone, however it
went, so is the memory: no file is left behind by a crash.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile

from loads.recorder.layout import SIZE


class Memory:
    """A mapping of :data:`~loads.recorder.layout.SIZE` bytes, all zero at first.

    It is sparse: only what was written to, or looked at, takes real memory.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, SIZE)
        self.bytes = memoryview(self._map)
        self.cells = self.bytes.cast("Q")

    @classmethod
    def create(cls) -> Memory:
        """New memory, whose descriptor a child process can inherit."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("loads-recorder")
        else:  # not Linux: a file that has no name any more
            fd, path = tempfile.mkstemp(prefix="loads-recorder-")
            os.unlink(path)
        os.ftruncate(fd, SIZE)
        return cls(fd)

    @classmethod
    def inherited(cls, fd: int) -> Memory:
        """The memory behind a descriptor that the parent process passed on."""
        return cls(fd)

    def close(self) -> None:
        """Let go of the mapping and of the descriptor."""
        os.close(self.fd)  # first: the mapping cannot be closed while somebody still records
        self.cells.release()
        self.bytes.release()
        with contextlib.suppress(BufferError):
            self._map.close()
