"""The options of ``loads-runner``, and how they become settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from loads.cli.common import retired, version_option
from loads.cli.sections import SectionedCommand, option, section
from loads.config import ConfigFile, Configuration, Option, Source, Value, configure, locate_file
from loads.errors import UsageError
from loads.observers.registry import Registry as ObserverRegistry
from loads.outputs.registry import Registry
from loads.outputs.stream import visible
from loads.plan import ON_AGENT_LOSS
from loads.plugins import Plugins
from loads.transport.endpoints import DEFAULT_FRONTEND

registry = Registry()
observers = ObserverRegistry()

EXCLUSIVE = {
    (
        "hits",
        "duration",
    ): "Give --hits to run a number of tests, or --duration to run for some time."
}

#: Options that have the command do something else than run a test; one at a time.
INSTEAD = (
    *("attach", "stop", "list-runs", "list-agents"),
    *("ping-broker", "check-cluster", "health-check", "purge-broker"),
)

LATEST = 100  #: ended runs in a list, if not said otherwise
FOREVER = "forever"  #: the patience of ``--wait-for-agents`` without a number
_TIME = re.compile(rf"\d.*|{FOREVER}")
_WORD = re.compile(r"[^\s,\[\]'\"]+")


class RunnerCommand(SectionedCommand):
    """``loads-runner``: also knows the options of outputs and observers that are not ours.

    Those are imported when they are named, and not before.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for number, arg in enumerate(args):
            if arg == "--wait-for-agents" and not _TIME.fullmatch("".join(args[number + 1 :][:1])):
                # what follows is the test, and not how long to wait
                args = [*args[:number], f"{arg}={FOREVER}", *args[number + 1 :]]
        known = {param.name for param in self.params}
        for names, settings in _strangers(_named_by(args)):
            param = click.Option(names, **settings)
            if param.name not in known:
                self.params.append(param)
        return super().parse_args(ctx, args)


#: The kinds of parts that are found by name, each with the word that their options begin with.
_KINDS: tuple[tuple[str, Plugins[Any]], ...] = (("output", registry), ("observer", observers))


def _part_options(kind: str, parts: Plugins[Any], name: str) -> list[Any]:
    """``--output-NAME-OPTION`` for each option that an output declares, or so of another kind."""
    return [
        option(
            f"--{kind}-{name}-{declared.name}",
            metavar="VALUE",
            help=f"{declared.help}  [default: {declared.default}]"
            if declared.default
            else declared.help,
        )
        for declared in parts.options(name)
    ]


def _own_options(kind: str, parts: Plugins[Any]) -> list[Any]:
    return [made for name in parts.own for made in _part_options(kind, parts, name)]


_Names = dict[str, set[str]]  #: what may be the name of a part, by the kind


def _named_by(args: Iterable[str]) -> _Names:
    """What a command line names: the word after ``--output``, ``--output-`` and such.

    ``--output-NAME-OPTION`` tells not where a name ends, so the option is there as well.
    """
    text = " ".join(args)
    return {kind: set(re.findall(rf"--{kind}[-= ]([^\s=]+)", text)) for kind, _ in _KINDS}


def _strangers(named: _Names) -> list[Any]:
    """The options of the parts that are not ours and that something named begins with."""
    found: list[Any] = []
    for kind, parts in _KINDS:
        ours = {f"{name}-{declared.name}" for name in parts.own for declared in parts.options(name)}
        foreign = tuple(named[kind] - ours - set(parts.own))
        # to look for all that is installed takes a while, and most commands name none of it
        for name in set(parts.names) - set(parts.own) if foreign else ():
            if any(word.startswith(name) for word in foreign):
                with suppress(UsageError):  # which is told if it is really wanted
                    found += _part_options(kind, parts, name)
    return found


_WHAT = section(
    "What to run",
    option("--config", metavar="PATH", help="File with options: INI, or TOML if it ends in .toml."
           "  [default: loads.toml, or [tool.loads] in pyproject.toml]"),
    option("--test-dir", metavar="DIR", default=".", show_default=True,
           help="The directory that the test is imported from; or, for a test that is here, an "
           "absolute path where agents are to put and run it."),
    option("--server-url", metavar="URL", help="What self.server_url is in the test."),
    option("--env", multiple=True, metavar="NAME[=VALUE]",
           help="Variable for the test, by default with its value from here.  [repeatable]"),
    option("--project-name", metavar="NAME", help="self.config['project_name'] in the test."),
    option("--user-id", metavar="NAME", help="self.config['user_id']: who runs the test."),
    option("--test-runner", metavar="COMMAND",
           help="Program that runs the test instead, in any language; {test} in it is TEST."),
    option("--external-process-timeout", metavar="TIME",
           help="With --test-runner, the same as --grace."),
)  # fmt: skip
_LOAD = section(
    "Load",
    option("-u", "--users", metavar="N[:N...]", default="1", show_default=True,
           help="Virtual users; several numbers are groups, run one after the other."),
    option("--hits", metavar="N[:N...]",
           help="How often each user runs the test.  [default: 1]"),
    option("-d", "--duration", metavar="TIME",
           help="How long each group runs, instead of --hits: 90, 90s, 5m, 1h."),
    option("--grace", metavar="TIME", default="30", show_default=True,
           help="How long running tests may take to finish once the run is to end."),
    option("--workers", metavar="N",
           help="Worker processes of a local run.  [default: one per core]"),
    option("--no-dns-resolve", is_flag=True,
           help="Look names up for each connection, not once per worker."),
)  # fmt: skip
_CLUSTER = section(
    "Cluster",
    option("-a", "--agents", metavar="N",
           help="Run on N agents of the broker; each runs all users."),
    option("-b", "--broker", metavar="TOKEN",
           help="A token, @FILE that holds one, or the broker's frontend.  "
           "[default: this user's own, on this machine]"),
    option("--wait-for-agents", is_flag=False, flag_value=FOREVER, metavar="[TIME]",
           help="Wait in the broker's queue until enough agents are idle, or for so long."),
    option("--detach", is_flag=True,
           help="Have the run go on by itself; --attach shows it, or its result, later."),
    option("--on-agent-loss", metavar="|".join(ON_AGENT_LOSS), default="continue",
           show_default=True, help="When an agent is lost: go on without it, give what it had left "
           "to the others, or stop the run."),
    option("--zmq-publisher", metavar="ENDPOINT",
           help="Where to follow the run.  [default: what the broker says]"),
    option("--ssh", metavar="[USER@]HOST[:PORT]",
           help="Reach the broker through ssh; --broker is then as seen from there, by default "
           f"{DEFAULT_FRONTEND}."),
)  # fmt: skip
_TOLD = section(
    "Tell people of the end",
    option("--observer", multiple=True, metavar="NAME",
           help="Whom to tell: {}.  The broker does it; without one, this command.  [repeatable]",
           fill=lambda: ", ".join(observers.names)),
    *_own_options("observer", observers),
)  # fmt: skip
_OPERATIONS = section(
    "Instead of running a test",
    option("--attach", is_flag=False, flag_value="", metavar="[RUN]",
           help="Follow a run of the broker to its end; by default the one that goes on."),
    option("--stop", metavar="RUN", help="End a run of the broker early."),
    option("--list-runs", is_flag=False, flag_value=str(LATEST), metavar="[N]",
           help="Show the broker's runs, and the latest N that have ended, by default "
           f"{LATEST}."),
    option("--list-agents", is_flag=True, help="Show the broker's agents."),
    option("--check-cluster", is_flag=True, help="Run a tiny test on every idle agent."),
    option("--health-check", is_flag=True, help="The same as --check-cluster."),
    option("--ping-broker", is_flag=True, help="Show what the broker is and has."),
    option("--purge-broker", is_flag=True, help="Stop all runs of the broker."),
)  # fmt: skip
_LOADS_1 = section(
    "Accepted for Loads 1, without effect",
    *(
        option(name, metavar="VALUE", expose_value=False, callback=retired,
               help="No longer needed.")
        for name in ("--zmq-receiver", "--zmq-endpoint")
    ),
)  # fmt: skip
_FILES = section(
    "Files that agents need",
    option("--include-file", multiple=True, metavar="PATTERN",
           help="Files, directories or patterns such as 'data/*.json' to send.  [repeatable]"),
    option("--python-dep", multiple=True, metavar="PACKAGE",
           help="What pip is to install there for the test.  [repeatable]"),
)  # fmt: skip
_OUTPUT = section(
    "Output",
    option("--output", multiple=True, metavar="NAME",
           help="What to do with results: {}.  [default: console; repeatable]",
           fill=lambda: ", ".join(registry.names)),
    *_own_options("output", registry),
    option("--url-names", metavar="template|exact", default="template", show_default=True,
           help="Count /users/1 and /users/2 as one URL, or as two."),
    option("--quiet", is_flag=True, help="Show nothing but errors and warnings."),
)  # fmt: skip
_DEBUGGING = section(
    "Debugging",
    option("--debug", is_flag=True,
           help="Run in one process, in the foreground, where breakpoint() works."),
    option("-v", "--verbose", count=True,
           help="With --debug, or as -vv, show every request and answer."),
    option("--no-patching", is_flag=True,
           help="Leave blocking calls of the test as they are; users then wait for each other."),
    option("--batched", is_flag=True, help="Accepted for Loads 1; results always travel so."),
)  # fmt: skip


def runner_options(command: Any) -> Any:
    """Decorate the command with all of its options, sections in the order of the help."""
    command = version_option(command)
    sections = (_LOADS_1, _DEBUGGING, _TOLD, _OUTPUT, _FILES, _OPERATIONS, _CLUSTER, _LOAD, _WHAT)
    for decorate in sections:
        command = decorate(command)
    return click.argument("fqn", metavar="[TEST]", required=False)(command)


def gather(context: click.Context, environ: Mapping[str, str], directory: Path) -> Configuration:
    """The settings of a command from all their sources; warnings go to standard error.

    Raises :class:`UsageError` for what cannot be understood.
    """
    params = [param for param in context.command.params if param.expose_value]
    given = {
        _name(param): _value(context.params[param.name])
        for param in params
        if param.name and context.get_parameter_source(param.name) is _TYPED
        and context.params[param.name] is not None
    }  # fmt: skip
    named = given.get("config") or environ.get("LOADS_CONFIG") or ""
    file = locate_file(str(named), directory, environ)
    options = {option.name: option for option in map(_option, params)}
    for names, _ in _strangers(_named_in(environ, file)):
        name = names[0].removeprefix("--")
        options.setdefault(name, Option(name))
    settings = configure(options.values(), given, environ, file, EXCLUSIVE)
    for line in settings.warnings:
        click.echo(visible(line), err=True)
    return settings


def is_instead(settings: Configuration) -> bool:
    """Whether the command is to do something else than run a test."""
    return bool(chosen_instead(settings))


def chosen_instead(settings: Configuration) -> str:
    """The option of :data:`INSTEAD` that is set; empty when none is.

    Raises :class:`UsageError` when there are several.
    """
    chosen = [
        name
        for name in INSTEAD
        if settings.flag(name)
        or settings.text(name)
        or (name == "attach" and settings.source(name) is Source.COMMAND_LINE)
    ]
    if len(chosen) > 1:
        raise UsageError(
            f"--{chosen[0]} and --{chosen[1]} exclude each other.", "Give one at a time."
        )
    return "".join(chosen)


def _named_in(environ: Mapping[str, str], file: ConfigFile | None) -> _Names:
    """What variables and a file name."""
    values: Mapping[str, Any] = file.values if file else {}
    said = {kind: (environ.get(f"LOADS_{kind.upper()}"), values.get(kind)) for kind, _ in _KINDS}
    return {kind: set(_WORD.findall(str(texts))) for kind, texts in said.items()}


_TYPED = click.core.ParameterSource.COMMANDLINE


def _name(param: click.Parameter) -> str:
    return (param.name or "").replace("_", "-")


def _option(param: click.Parameter) -> Option:
    default = param.default if isinstance(param.default, str) else None
    if param.multiple:
        return Option(_name(param), "list")
    if getattr(param, "is_flag", False) and not getattr(param, "count", False):
        return Option(_name(param), "flag" if isinstance(param.type, _BOOL) else "text")
    return Option(_name(param), "text", default)


_BOOL = type(click.BOOL)


def _value(value: Any) -> Value:
    """What click gives, as settings have it."""
    if isinstance(value, (bool, tuple)):
        return value
    return str(value)
