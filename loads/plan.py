"""What a run is to do: the plan, and the exact parts that it is cut into.

A plan is plain data.  It travels in messages, so it is made of strings and numbers only and is
validated whenever it is built: a plan that exists makes sense.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from loads.errors import PlanError

MAX_USERS = 1_000_000
MAX_HITS = 1_000_000_000
MAX_AGENTS = 10_000
MAX_COMMAND = 4_096  #: characters of a command: to split one takes time that grows with its square
MAX_PATH = 4_096  #: characters of a path, as on Linux (PATH_MAX)
URL_NAMES = ("template", "exact")
ON_AGENT_LOSS = ("continue", "redistribute", "abort")

_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class RunPlan:
    """All that defines a run.

    ``users``
        Sizes of the user groups, run one after the other.
    ``hits``
        In each group, how often every user runs the test, number after number.
        Once, when neither they nor ``duration`` are given.
    ``duration``
        Seconds that each group runs, or None.
    ``agents``
        How many agents run the plan, each of them all of it.  0 is a local run.
    ``server_url``
        What ``self.server_url`` is in the test; empty leaves the test's own.
    ``grace``
        Seconds that running tests are given to finish once the run is to end; then they are cut.
    ``config``
        The user's own settings, handed to the test as ``self.config``.
    ``env``
        Environment variables that the test is given.
    ``paths``
        The directories that the test's modules are imported from, relative to that of its code.
    ``python_deps``
        Requirements, as pip spells them, that agents install for the test.
    ``url_names``
        How the series of a URL is named: one of :data:`URL_NAMES`.
    ``patching``
        Whether blocking calls of the test let other users run, as gevent arranges it.
    ``test_runner``
        The command of a program that runs the tests instead of us; see ``protocol.external``.
    ``resolve_once``
        Whether a worker looks a host's name up once, or for every connection.
    ``on_agent_loss``
        What becomes of the run when an agent is lost: one of :data:`ON_AGENT_LOSS`.
    ``left``
        Where the plan is what is left of another one: for each group, how many tests its users run
        between them, as evenly as can be, or how many seconds it lasts.
    ``test_dir``
        The absolute path of the directory that agents make, copy the test's files to and run it in;
        empty is one of their own.
    """

    target: str
    users: tuple[int, ...] = (1,)
    hits: tuple[int, ...] = ()
    duration: float | None = None
    agents: int = 0
    server_url: str = ""
    grace: float = 30.0
    config: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = (".",)
    python_deps: tuple[str, ...] = ()
    url_names: str = "template"
    patching: bool = True
    resolve_once: bool = True
    on_agent_loss: str = "continue"
    left: tuple[float, ...] = ()
    test_runner: str = ""
    test_dir: str = ""

    def __post_init__(self) -> None:
        _check_length("test-runner", self.test_runner, MAX_COMMAND)
        _check_length("test-dir", self.test_dir, MAX_PATH)
        if not self.target.strip():
            raise PlanError(
                "There is no test to run.",
                "Name it as package.module.Class.test_method or package.module.test_function.",
            )
        _check_cycle("users", self.users, MAX_USERS)
        if self.duration is None:
            if not self.hits:
                object.__setattr__(self, "hits", (1,))
            _check_cycle("hits", self.hits, MAX_HITS)
        elif not (math.isfinite(self.duration) and self.duration > 0):
            raise PlanError(
                f"A duration of {self.duration} seconds cannot be run.",
                "Give more than zero, as in --duration 30 or --duration 5m.",
            )
        elif self.hits:
            raise PlanError("A plan has hits or a duration, not both.")
        if not isinstance(self.agents, int) or not 0 <= self.agents <= MAX_AGENTS:
            raise PlanError(f"{self.agents} agents cannot be asked for.", "Give 1 or more.")
        if not (math.isfinite(self.grace) and self.grace >= 0):
            raise PlanError(
                f"A grace period of {self.grace} seconds makes no sense.", "Give 0 or more."
            )
        if self.url_names not in URL_NAMES:
            raise PlanError(
                f"There is no --url-names {self.url_names}.", f"One of: {', '.join(URL_NAMES)}."
            )
        self._check_loss()
        if self.test_dir and (
            not PurePosixPath(self.test_dir).is_absolute() or "\0" in self.test_dir
        ):
            raise PlanError(f"{self.test_dir!r} is no absolute path of a directory.")
        for path in self.paths:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise PlanError(f"{path!r} is outside of the test's own directory.")

    def _check_loss(self) -> None:
        if self.on_agent_loss not in ON_AGENT_LOSS:
            raise PlanError(
                f"There is no --on-agent-loss {self.on_agent_loss}.",
                f"One of: {', '.join(ON_AGENT_LOSS)}.",
            )
        if self.test_runner:
            _check_command(self.test_runner)
            if self.on_agent_loss == "redistribute":
                raise PlanError(
                    "--on-agent-loss redistribute cannot be had with --test-runner.",
                    "What a program has left to do is only known to itself: continue or abort.",
                )
        self._check_left()

    def _check_left(self) -> None:
        whole = self.duration is None
        if self.left and len(self.left) != len(self.users):
            raise PlanError("What is left of a plan names something for each group of users.")
        for number in self.left:
            if not 0 < number <= MAX_USERS * MAX_HITS or (whole and number != int(number)):
                raise PlanError(f"{number} cannot be left of a plan.")

    def tests_of(self, group: int, user: int) -> int:
        """How many tests a user runs in a group of a plan by hits."""
        if not self.left:
            return sum(self.hits)
        each, more = divmod(int(self.left[group]), self.users[group])
        return each + (user < more)

    def tests_in(self, group: int) -> int:
        """How many tests all users of a group run in a plan by hits."""
        return int(self.left[group]) if self.left else self.users[group] * sum(self.hits)

    def seconds_of(self, group: int) -> float | None:
        """How long a group lasts; None when the number of hits decides."""
        return self.left[group] if self.left and self.duration is not None else self.duration

    @property
    def total_tests(self) -> int | None:
        """How many tests the whole run makes over all agents.

        None when time decides, or a program of the user's.
        """
        if self.duration is not None or self.test_runner:
            return None
        return max(self.agents, 1) * sum(map(self.tests_in, range(len(self.users))))

    @property
    def total_seconds(self) -> float | None:
        """How long the load lasts, in seconds; None when the number of hits decides."""
        if self.duration is None:
            return None
        return sum(self.left) if self.left else self.duration * len(self.users)

    def describe(self) -> str:
        """The plan in one line, with the total that it comes to."""
        users = _spoken(self.users, "user", "users")
        where = f"{self.agents} agent{'s' if self.agents > 1 else ''} x " if self.agents else ""
        if self.duration is not None:
            each = " each" if len(self.users) > 1 else ""
            return f"{where}{users} for {self.duration:.15g} s{each}"
        hits = _spoken(self.hits, "time", "times")
        if self.total_tests is None:
            return f"{where}{users}, {hits} each"
        plural = "" if self.total_tests == 1 else "s"
        return f"{where}{users}, {hits} each = {self.total_tests:,} test{plural} in total"

    def pack(self) -> dict[str, Any]:
        """The plan as plain data, the inverse of :meth:`unpack`."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def unpack(cls, data: Mapping[str, Any]) -> RunPlan:
        """Build a plan from plain data.  Unknown keys are a newer peer's, and ignored.

        Raises :class:`PlanError` when the data is no plan.
        """
        try:
            known = {f.name: data[f.name] for f in dataclasses.fields(cls) if f.name in data}
            for name in ("users", "hits", "paths", "python_deps", "left"):
                if name in known:
                    known[name] = tuple(known[name])
            for name in ("config", "env"):
                known[name] = {str(k): str(v) for k, v in dict(known.get(name, {})).items()}
            names = ("target", "server_url", "url_names", "on_agent_loss", "test_runner")
            texts = [known.get(name, "") for name in (*names, "test_dir")]
            texts += [*known.get("paths", ()), *known.get("python_deps", ())]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("names, URLs and paths are texts")
            if not all(isinstance(known.get(n, True), bool) for n in ("patching", "resolve_once")):
                raise TypeError("what is done or not is true or false")
            return cls(**known)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise PlanError(f"This is no plan: {error!r}.") from error


def _check_length(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise PlanError(f"--{name} has {len(text):,} characters.", f"It may have {most:,} at most.")


def _check_command(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise PlanError(
            f"--test-runner {command} cannot be split into words: {error}.", "Close all quotes."
        ) from None
    if not words or not words[0]:
        raise PlanError("--test-runner names no program.", "As in --test-runner './run.js {test}'.")


def split_command(command: str, test: str) -> list[str]:
    """A command as a shell would split it, with ``test`` in the place of ``{test}``."""
    return [word.replace("{test}", test) for word in shlex.split(command)]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _check_cycle(name: str, numbers: tuple[int, ...], most: int) -> None:
    if not numbers:
        raise PlanError(f"The plan names no number of {name}.", f"As in --{name} 10.")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            raise PlanError(
                f"{number} {name} cannot be run.",
                f"Each number of --{name} is a whole number from 1 to {most:,}.",
            )


def _spoken(numbers: tuple[int, ...], one: str, many: str) -> str:
    if len(numbers) == 1:
        return f"{numbers[0]:,} {one if numbers[0] == 1 else many}"
    return "(" + "+".join(f"{number:,}" for number in numbers) + f") {many}"


def parse_cycle(name: str, text: str) -> tuple[int, ...]:
    """Read ``10:20:30`` as numbers.  Raises :class:`PlanError` with the option's ``name``."""
    try:
        numbers = tuple(int(part) for part in text.split(":"))
    except ValueError:
        raise PlanError(
            f"--{name} {text} is not a number.",
            f"Give a whole number, as in --{name} 10, or several in turn, as in --{name} 10:20:30.",
        ) from None
    most = MAX_USERS if name == "users" else MAX_HITS
    _check_cycle(name, numbers, most)
    return numbers


def parse_duration(text: str) -> float:
    """Read ``90``, ``90s``, ``1.5m`` or ``1h`` as seconds.  Raises :class:`PlanError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise PlanError(
            f"{text} is not a duration.",
            "Give seconds, or a number with ms, s, m or h, as in --duration 90 or --duration 5m.",
        )
    return float(match["number"]) * _UNITS[match["unit"]]


@dataclass(frozen=True)
class Segment:
    """One exact part of a load: number ``index`` of ``count`` parts.

    The parts of a load are disjoint and add up to all of it, whatever the numbers:
    a local run with one worker is simply segment 0 of 1.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise PlanError(f"There is no segment {self.index} of {self.count}.")

    def of(self, total: int) -> range:
        """Which of ``total`` numbered things are this segment's."""
        return range(total * self.index // self.count, total * (self.index + 1) // self.count)
