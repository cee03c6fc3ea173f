"""How one call of a test ended, and what its traceback says to its author."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
import unittest
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from gevent import GreenletExit

from loads.metrics.failures import ERROR, FAILURE, Failure
from loads.metrics.series import Verdict

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple(
    os.path.abspath(path) + os.sep
    for path in {*sysconfig.get_paths().values(), sys.prefix + "/lib", sys.base_prefix + "/lib"}
)


class Outcome:
    """What happened in one call of a test: a ``unittest`` result that keeps no history.

    ``verdict`` is the worst of what was reported; ``cut`` tells that the run ended the test.  Not
    a ``unittest.TestResult``, only the part of one that tests talk to.  While it is ``clean``,
    nothing but success was reported, and it can serve another call.
    """

    failfast = shouldStop = buffer = tb_locals = False

    def __init__(self, root: str) -> None:
        self._root = root
        self.clean = True
        self.verdict = Verdict.SUCCESS
        self.cut = False
        self.problems: list[Failure] = []

    def startTest(self, test: Any) -> None:
        """A test begins, which is known."""

    def stopTest(self, test: Any) -> None:
        """A test has ended, which is known."""

    def addDuration(self, test: Any, elapsed: float) -> None:
        """How long it took is measured by ourselves."""

    def addSuccess(self, test: Any) -> None:
        """Success is what is assumed."""

    def addError(self, test: Any, err: Any) -> None:
        self.report(err, error=True)

    def addFailure(self, test: Any, err: Any) -> None:
        self.report(err, error=False)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.report(err, error=not issubclass(err[0], test.failureException))

    def addSkip(self, test: Any, reason: str) -> None:
        self.clean = False
        if self.verdict is Verdict.SUCCESS:
            self.verdict = Verdict.SKIPPED

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        """A failure that its author expects is a success."""

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.clean = False
        self.verdict = Verdict.FAILURE
        self.problems.append(Failure(FAILURE, "UnexpectedSuccess", str(test.id()), ""))

    def report(self, err: _ExcInfo, error: bool) -> None:
        """Enter an exception as a failure or an error."""
        self.clean = False
        kind, exception, trace = err
        if issubclass(kind, GreenletExit):
            self.cut = True
            return
        if is_skip(kind):
            self.addSkip(None, "")
            return
        if is_pytest(kind, "XFailed"):
            return
        error = error and not is_pytest(kind, "Failed")
        if error:
            self.verdict = Verdict.ERROR
        elif self.verdict is not Verdict.ERROR:
            self.verdict = Verdict.FAILURE
        word = ERROR if error else FAILURE
        text = user_traceback(trace, self._root)
        self.problems.append(Failure(word, kind.__name__, _message(exception), text))

    def caught(self, error: BaseException) -> None:
        """Enter an exception that came out of user code, a failure if it is an assertion's."""
        failure = isinstance(error, AssertionError)
        self.report((type(error), error, error.__traceback__), error=not failure)


def call(function: Callable[[], Any], root: str) -> Outcome:
    """Run a plain function as a test.  Whatever it raises is its verdict, even SystemExit."""
    outcome = Outcome(root)
    try:
        function()
    except BaseException as error:
        outcome.caught(error)
    return outcome


def _message(exception: BaseException) -> str:
    """What an exception says; its author's ``__str__`` may fail itself."""
    try:
        return str(exception)
    except Exception as error:
        return f"(its text could not be had: {type(error).__name__})"


def is_pytest(kind: type[BaseException], name: str) -> bool:
    """Whether an exception is pytest's, which need not be installed here.

    Some of them pretend to be builtins, but their base does not.
    """
    return kind.__name__ == name and any(
        base.__module__ == "_pytest.outcomes" for base in kind.__mro__
    )


def is_cut(error: BaseException) -> bool:
    """Whether somebody ended the test's greenlet."""
    return isinstance(error, GreenletExit)


def is_skip(kind: type[BaseException]) -> bool:
    """Whether an exception says that its test is to be skipped."""
    return issubclass(kind, unittest.SkipTest) or is_pytest(kind, "Skipped")


def user_traceback(trace: TracebackType | None, root: str) -> str:
    """The user's own frames of a traceback, innermost last, with paths relative to ``root``.

    The same on every machine and Python version, so that equal failures group.  Where no frame
    is the user's, those of libraries are shown.
    """
    frames: list[tuple[str, int, str]] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append((code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    root = os.path.abspath(root) + os.sep
    users = [frame for frame in frames if frame[0].startswith(root) and not _is_library(frame[0])]
    shown = users or [frame for frame in frames if not frame[0].startswith(_OURS)]
    lines = []
    for path, number, name in shown:
        lines.append(f'File "{path.removeprefix(root)}", line {number}, in {name}')
        source = linecache.getline(path, number).strip()
        if source:
            lines.append(f"    {source}")
    return "\n".join(lines)


def user_frame(frame: FrameType | None, root: str) -> str:
    """Where a stack is in the user's own code, in words; or else where it is at all."""
    root = os.path.abspath(root) + os.sep
    innermost = frame
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(root) and not _is_library(code.co_filename):
            path = code.co_filename.removeprefix(root)
            return f"{path}, line {frame.f_lineno}, in {code.co_name}"
        frame = frame.f_back
    if innermost is None:
        return "an unknown place"
    return f"{innermost.f_code.co_filename}, line {innermost.f_lineno}"


def _is_library(path: str) -> bool:
    return path.startswith(_LIBRARIES) or f"{os.sep}site-packages{os.sep}" in path
