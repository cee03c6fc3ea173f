"""The process of one observer: reads its job, does it, and says in a line why it could not."""

from __future__ import annotations

import sys

from loads.errors import LoadsError
from loads.observers.calls import unpack_job
from loads.observers.registry import Registry


def main() -> int:
    """Tell an observer; gives the exit status."""
    wish, view = unpack_job(sys.stdin.buffer.read())
    try:
        Registry().build(wish.name, dict(map(_pair, wish.options))).tell(view)
    except LoadsError as error:
        problem = error.message
    except Exception as error:
        text = getattr(error, "strerror", None) or str(error)
        problem = f"{type(error).__name__}: {text}" if text else type(error).__name__
    else:
        return 0
    sys.stderr.write(" ".join(problem.split()) + "\n")
    return 1


def _pair(option: tuple[str, ...]) -> tuple[str, str]:
    name, value = option
    return name, value


if __name__ == "__main__":
    sys.exit(main())
