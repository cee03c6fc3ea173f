"""Every error that Loads itself raises, with its hint and its exit code.

::

    LoadsError
    ├── UsageError            2    the user's words cannot be carried out
    │   ├── PlanError              a plan that makes no sense
    │   ├── TargetError            the test cannot be found or loaded
    │   └── BundleError            the test's files cannot travel
    ├── BrokerError           5    no broker, or it says no
    │   ├── BrokerUnreachable
    │   └── BrokerRefused
    ├── NotEnoughAgents       6
    ├── WorkerError           4    workers that could not be started or kept
    ├── StorageError          2    the broker's database cannot be used
    ├── Interrupted         130    somebody wanted no more of it
    └── ProtocolError         5
        ├── LocalProtocolError     we broke the protocol: a bug of ours
        └── RemoteProtocolError    the peer broke it

A failed hit or a failing test is data, never one of these.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended, as its exit status."""

    OK = 0  #: all tests passed
    FAILED = 1  #: some test failed or errored
    USAGE = 2  #: bad usage or configuration
    THRESHOLD = 3  #: a threshold was broken
    INCOMPLETE = 4  #: agents or workers were lost: the result is incomplete
    BROKER = 5  #: the broker cannot be reached, or refused
    AGENTS = 6  #: not enough agents
    GENERATOR = 7  #: the load generator was the bottleneck, and the plan calls that a failure
    INTERRUPTED = 130  #: Ctrl-C


class LoadsError(Exception):
    """Base of our errors.

    ``message`` says what is wrong, ``hint`` what to do about it (may be empty),
    ``exit_code`` is what a command that meets the error exits with.
    """

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(LoadsError):
    """The user's words cannot be carried out."""


class PlanError(UsageError):
    """A plan that makes no sense."""


class TargetError(UsageError):
    """The test named by the user cannot be found or loaded."""


class BundleError(UsageError):
    """The test's files cannot be packed or unpacked."""


class BrokerError(LoadsError):
    """The broker cannot be reached, or refused."""

    exit_code = ExitCode.BROKER


class BrokerUnreachable(BrokerError):
    """Nothing answers at the broker's endpoint."""


class BrokerRefused(BrokerError):
    """The broker answered, and said no."""


class NotEnoughAgents(LoadsError):
    """The cluster has fewer idle agents than the plan asks for."""

    exit_code = ExitCode.AGENTS


class WorkerError(LoadsError):
    """Workers could not be started, or ended before they were ready."""

    exit_code = ExitCode.INCOMPLETE


class StorageError(LoadsError):
    """The broker's database cannot be opened, read or written."""


class Interrupted(LoadsError):
    """Somebody pressed Ctrl-C, and there is something to say about that.

    ``run`` is by what name the broker may know the run that was wanted; it may be empty.
    """

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, message: str, hint: str = "", run: str = "") -> None:
        super().__init__(message, hint)
        self.run = run


class ProtocolError(LoadsError):
    """Somebody broke the protocol."""

    exit_code = ExitCode.BROKER


class LocalProtocolError(ProtocolError):
    """We broke it: a bug of ours."""


class RemoteProtocolError(ProtocolError):
    """The peer broke it: bytes or a message that it may not send."""


_BY_CODE: dict[int, type[LoadsError]] = {
    ExitCode.USAGE: UsageError,
    ExitCode.INCOMPLETE: WorkerError,
    ExitCode.BROKER: BrokerRefused,
    ExitCode.AGENTS: NotEnoughAgents,
    ExitCode.INTERRUPTED: Interrupted,
}


def error_from(code: int, message: str, hint: str = "") -> LoadsError:
    """Rebuild an error that another process described by its exit code and texts."""
    return _BY_CODE.get(code, BrokerRefused)(message, hint)
