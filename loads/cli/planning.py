"""From settings to what they ask for: a target, a plan, files and outputs."""

from __future__ import annotations

import contextlib
import glob
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loads.cli.options import FOREVER, observers, registry
from loads.config import Configuration, Source
from loads.errors import TargetError, UsageError
from loads.outputs.base import Output
from loads.plan import RunPlan, parse_cycle, parse_duration, split_command
from loads.plugins import Plugins
from loads.target import Target, find_program, find_target
from loads.transport.endpoints import DEFAULT_FRONTEND

if TYPE_CHECKING:  # a run without a cluster does without them
    from loads.protocol.messages import Wish
    from loads.transport.tokens import Access

#: The settings that a test can look up in ``self.config``.  Where the cluster is, the variables
#: for the test and what outputs are told may hold secrets, and a plan is shown to many.
TOLD = (
    *("fqn", "server-url", "test-dir", "project-name", "user-id"),
    *("users", "hits", "duration", "grace", "workers", "agents"),
    *("include-file", "python-dep", "url-names"),
    *("no-patching", "no-dns-resolve", "quiet", "debug", "verbose"),
)


_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]")


def find_test(settings: Configuration) -> Target:
    """What is to be run.  Raises :class:`UsageError` when there is no such thing."""
    find = find_program if settings.text("test-runner") else find_target
    target = _found_here(settings, find)
    if target is None:
        root = settings.read("test-dir", _directory) or Path.cwd()
        target = settings.read("fqn", partial(find, directory=root))
    if target is None:
        raise UsageError(
            "There is no test to run.",
            "Name it as package.module.Class.test_method or path/test_file.py::Class::test_method, "
            "or as fqn in a configuration file.",
        )
    return target


def _found_here(settings: Configuration, find: Callable[[str, Path], Target]) -> Target | None:
    """The test, if it is here and ``--test-dir`` names where agents run it, as in Loads 1."""
    if _place_elsewhere(settings) is None or not settings.text("fqn"):
        return None
    with contextlib.suppress(TargetError):  # then it is looked for in that directory
        target = find(settings.text("fqn"), Path.cwd())
        return None if target.installed else target
    return None


def _place_elsewhere(settings: Configuration) -> Path | None:
    """The directory of ``--test-dir``, unless it is below the working directory or above it."""
    here, place = Path.cwd(), Path(settings.text("test-dir")).absolute()
    return None if place.is_relative_to(here) or here.is_relative_to(place) else place


def _place_on_agents(settings: Configuration, target: Target) -> str:
    """Where agents run the test; empty where they choose that themselves."""
    place = _place_elsewhere(settings)
    is_there = place is None or target.project.resolve().is_relative_to(place.resolve())
    return "" if is_there else str(place)


def make_plan(settings: Configuration, target: Target, environ: Mapping[str, str]) -> RunPlan:
    """The plan of a run.  Raises :class:`UsageError` for what cannot be planned."""
    agents = settings.read("agents", _agents) or 0
    for name in ("broker", "ssh"):
        if not agents and settings.source(name) is Source.COMMAND_LINE:
            raise UsageError(
                f"--{name} is given, but not how many of its agents to run on.", "Add -a N."
            )
    users = settings.read("users", partial(parse_cycle, "users")) or ()
    duration = settings.read("duration", partial(_time, "duration"))
    hits = settings.read("hits", partial(parse_cycle, "hits")) or (() if duration else (1,))
    runner = settings.read("test-runner", partial(_as_planned, "test_runner")) or ""
    grace = settings.read("grace", partial(_time, "grace")) or 0.0
    if runner and settings.text("external-process-timeout"):
        grace = settings.read("external-process-timeout", partial(_time, "grace")) or 0.0
    numbers = {
        "users": ":".join(map(str, users)),
        "hits": ":".join(map(str, hits)),
        "duration": f"{duration:.15g}" if duration else "",
        "grace": f"{grace:.15g}",
    }
    return RunPlan(
        target=target.name,
        paths=target.paths,
        users=users,
        hits=hits,
        duration=duration,
        agents=agents,
        grace=grace,
        server_url=settings.read("server-url", _server_url) or "",
        env=dict(settings.read_items("env", partial(_variable, environ))),
        python_deps=tuple(_requirement(text, target) for text in settings.items("python-dep")),
        url_names=settings.read("url-names", partial(_as_planned, "url_names")) or "template",
        on_agent_loss=settings.read("on-agent-loss", partial(_as_planned, "on_agent_loss"))
        or "continue",
        patching=not settings.flag("no-patching"),
        resolve_once=not settings.flag("no-dns-resolve"),
        test_runner=runner,
        test_dir=_place_on_agents(settings, target) if agents else "",
        config={k: v for k, v in (_told(settings, target, agents) | numbers).items() if v},
    )


def patience_of(settings: Configuration) -> float | None:
    """How many seconds a run may wait for agents; None is as long as it takes."""
    given = settings.read("wait-for-agents", _patience)
    return None if given == math.inf else given or 0.0


def check_cluster_options(settings: Configuration, plan: RunPlan) -> None:
    """Raises :class:`UsageError` for options that mean something on a cluster only.

    In a file, or the environment, they are for those runs that are on one.
    """
    for name in ("detach", "wait-for-agents"):
        if not plan.agents and settings.source(name) is Source.COMMAND_LINE:
            raise UsageError(
                f"--{name} is for runs on a cluster, and this one is on this machine.", "Add -a N."
            )


def find_terminal(settings: Configuration) -> int | None:
    """The descriptor of a terminal with somebody who sees the console and can answer it."""
    shows = "console" in (*settings.items("output"), "console" * (not settings.items("output")))
    if settings.flag("quiet") or not shows:
        return None
    try:
        is_there = sys.stdin.isatty() and sys.stdout.isatty()
        return sys.stdin.fileno() if is_there else None
    except (AttributeError, OSError, ValueError):  # closed, or none at all
        return None


def files_of(settings: Configuration, target: Target) -> list[str]:
    """What is to travel beside the code: patterns, relative to the project.

    Of an external runner's command, each word that is a file of the project.
    """
    words = split_command(settings.text("test-runner"), target.name)
    files = [word for word in words if word and Path(target.project, word).is_file()]
    program = [glob.escape(name) for word in files
               if (name := _inside(Path(target.project, word), target))]  # fmt: skip
    own = [glob.escape(name) for path in settings.files if (name := _inside(path, target))]
    required = [_requirement(text, target) for text in settings.items("python-dep")]
    libraries = [glob.escape(name[2:]) for name in required if name.startswith("./")]
    return [*settings.items("include-file"), *own, *program, *libraries]


def _requirement(text: str, target: Target) -> str:
    """What pip is to install: of a file or directory of the project, where that is in it."""
    is_path = "/" in text and Path(text).exists()
    name = _inside(Path(text), target) if is_path else ""
    return f"./{name}" if name not in ("", ".") else text


def given_grace(settings: Configuration) -> float | None:
    """The seconds of ``--grace`` where somebody gave it; None where it is only the default."""
    if settings.source("grace") in (None, Source.DEFAULT):
        return None
    return settings.read("grace", partial(_time, "grace"))


def find_frontend(settings: Configuration) -> Access:
    """The frontend of the broker, and what opens it; with ``--ssh``, as it is seen from there."""
    from loads.transport.arguments import PREFIX
    from loads.transport.tokens import find_access

    text = settings.text("broker")
    if not settings.text("ssh"):
        return find_access(text)
    access = find_access(text or DEFAULT_FRONTEND)
    is_token = text.startswith(("@", PREFIX))
    return access if is_token else replace(access, credentials=None)  # ours open nothing there


def latest_runs(text: str) -> int:
    """How many of the runs that have ended are to be listed.  Raises :class:`UsageError`."""
    number = _whole("list-runs", text)
    if number < 0:
        raise UsageError(f"--list-runs {number} cannot be had.", "Give 0 or more.")
    return number


def worker_limit(settings: Configuration) -> int | None:
    """How many processes a local run has at most; None when that is not said."""
    return settings.read("workers", _workers)


def debug_level(settings: Configuration) -> int:
    """0, or 1 for a run in the foreground, or 2 for one that also shows what it sends and gets."""
    verbose = settings.read("verbose", partial(_whole, "verbose")) or 0
    if verbose > 1 or (verbose and settings.flag("debug")):
        return 2
    return int(settings.flag("debug"))


def build_outputs(settings: Configuration) -> list[tuple[str, Output]]:
    """The outputs asked for, each with its options; ``--quiet`` takes the console away."""
    named = ["console" if n == "stdout" else n for n in settings.items("output")]  # v1's name
    chosen = list(dict.fromkeys(named or ["console"]))
    if settings.flag("quiet"):
        chosen = [name for name in chosen if name != "console"]
    return [(name, _output(name, settings)) for name in chosen]


def _output(name: str, settings: Configuration) -> Output:
    return registry.build(name, _options_of("output", registry, name, settings))


def build_wishes(settings: Configuration) -> tuple[Wish, ...]:
    """The observers asked for, each with its options.

    Built once here, so that mistakes show before there is a run.  Raises :class:`UsageError`.
    """
    names = dict.fromkeys(settings.items("observer"))
    if not names:
        return ()
    from loads.protocol.messages import Wish

    wishes = []
    for name in names:
        values = _options_of("observer", observers, name, settings)
        observers.build(name, values)
        wishes.append(Wish(name, tuple(sorted(values.items()))))
    return tuple(wishes)


def _options_of(
    kind: str, parts: Plugins[Any], name: str, settings: Configuration
) -> dict[str, str]:
    """What was said of the options of an output or an observer."""
    try:
        declared = parts.options(name)
    except UsageError as error:
        raise settings.settings[kind].blame(error.message, error.hint) from error
    full_names = {option.name: f"{kind}-{name}-{option.name}" for option in declared}
    return {k: settings.text(full) for k, full in full_names.items() if full in settings.settings}


def _told(settings: Configuration, target: Target, agents: int) -> dict[str, str]:
    """The user's own settings, and those of ours that a test may want to know."""
    told = dict(settings.extra)
    for name in TOLD:
        if name in settings.settings:
            value = settings.settings[name].value
            items = value if isinstance(value, tuple) else (str(value) if value else "",)
            told[name.replace("-", "_")] = ",".join(items)
    for path in settings.files:
        # an agent has the file where the test's code is, which is also the working directory
        told["config"] = (agents and _inside(path, target)) or str(path)
    return told


def _inside(path: Path, target: Target) -> str:
    """The path relative to the project; empty when it is not in there."""
    try:
        return str(path.resolve().relative_to(target.project.resolve()))
    except ValueError:
        return ""


# -- texts that mean something -------------------------------------------------------------------


def _directory(text: str) -> Path:
    root = Path(text).absolute()
    if not root.is_dir():
        raise UsageError(f"There is no directory {root}.", "Name another with --test-dir.")
    return root


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--{name} {text} is not a number.", "Give a whole number.") from None


def _server_url(text: str) -> str:
    if not _URL.match(text):
        rest = text.rpartition(":/")[2].strip("/") or "localhost:9000"
        raise UsageError(
            f"--server-url {text} is no URL: it does not begin with http://HOST or https://HOST.",
            f"Did you mean http://{rest} ?",
        )
    return text


def _patience(text: str) -> float:
    return math.inf if text == FOREVER else parse_duration(text)


def _agents(text: str) -> int:
    number = _whole("agents", text)
    if number < 1:
        raise UsageError(f"--agents {number} cannot be run.", "Give 1 or more.")
    return int(_as_planned("agents", number))


def _workers(text: str) -> int:
    from loads.protocol.messages import MAX_WORKERS

    number = _whole("workers", text)
    if not 1 <= number <= MAX_WORKERS:
        raise UsageError(f"--workers {number} cannot be had.", f"Give 1 to {MAX_WORKERS:,}.")
    return number


def _time(name: str, text: str) -> float:
    return float(_as_planned(name, parse_duration(text)))


def _as_planned(name: str, value: Any) -> Any:
    """A value that passes the plan's own rules, asked now, while it is known who gave the value."""
    return getattr(RunPlan("test", **{name: value}), name)


def _variable(environ: Mapping[str, str], text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not name:
        raise UsageError(f"--env {text} has no name.", "As in --env NAME or --env NAME=VALUE.")
    if not given and name not in environ:
        raise UsageError(
            f"--env {name}: there is no such variable here.", f"Set it, or give --env {name}=VALUE."
        )
    return name, value if given else environ[name]
