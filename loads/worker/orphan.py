"""What a worker does when its supervisor is gone, or does not watch over it any more.

Load that nobody counts or could stop is an attack, so it ends at that moment.  An agent's worker
then says how much it had done: it becomes :mod:`loads.agent.last_words`, by an ``exec``, which ends
all of its threads and closes all of its connections at once, and leaves the recorder's memory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from typing import NoReturn

from loads.events import Job
from loads.processes import end_others_in_group, has_group_of_its_own

#: How to start Python, before any test could say otherwise.
_PYTHON, _ENVIRONMENT = sys.executable, dict(os.environ)
_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def leave(job: Job) -> NoReturn:
    """The supervisor is gone, so nobody else will remove what it made for this run."""
    if job.last_words >= 0 and has_group_of_its_own():
        with contextlib.suppress(OSError):  # there is no program, or no /proc
            _become_last_words(job)
    if job.scratch:
        shutil.rmtree(job.scratch, ignore_errors=True)
    end_by_force()


def end_by_force() -> NoReturn:
    """End this process at once, with whatever the test has started."""
    if has_group_of_its_own():  # not in the foreground, where the group is the user's
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _become_last_words(job: Job) -> NoReturn:
    """Go on as another program, in which nothing of the test's is known.

    Raises ``OSError`` when that is impossible.
    """
    end_others_in_group()
    for fd in (job.last_words, job.memory):
        os.set_inheritable(fd, True)
    os.chdir("/")  # where Python looks for modules first
    os.execve(  # noqa: S606 - our own program
        _PYTHON,
        [_PYTHON, "-m", "loads.agent.last_words", str(job.last_words), str(job.memory)],
        {**_ENVIRONMENT, "PYTHONPATH": _OURS},
    )
