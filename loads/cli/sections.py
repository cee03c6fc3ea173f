"""Options in sections, so that ``--help`` can be read from the top down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

LAST = "Help"
_WIDE, _NARROW = 28, 12  #: columns for the options' names
_ROOMY = 66  #: columns from which the explanations have room beside the names


class SectionOption(click.Option):
    """An option that says in which section of the help it is explained.

    ``fill`` gives what stands in its help for ``{}``, where only who reads that is to wait for it.
    """

    def __init__(
        self,
        *args: Any,
        section: str = LAST,
        fill: Callable[[], str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        self._fill = fill

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or self._fill is None:
            return record
        names, text = record
        return names, text.replace("{}", self._fill())


class SectionedCommand(click.Command):
    """A command whose help explains its options section by section, in order of declaration.

    Options without a section, such as ``--help``, come last.
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; the explanations of all of them begin at one column."""
        sections: dict[str, list[tuple[str, str]]] = {}
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for param in sorted(options, key=lambda param: not isinstance(param, SectionOption)):
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(param, "section", LAST), []).append(record)
        room = _WIDE if formatter.width >= _ROOMY else _NARROW
        longest = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
        width = min(longest, room)
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(f"{n:<{width}}", text) for n, text in rows], col_max=width)


def section(title: str, *options: tuple[tuple[str, ...], dict[str, Any]]) -> Callable[..., Any]:
    """Decorate a command with the options of one section, made by :func:`option`."""

    def decorate(command: _Command) -> _Command:
        for names, settings in reversed(options):
            command = click.option(*names, cls=SectionOption, section=title, **settings)(command)
        return command

    return decorate


def option(*names: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """An option to be put in a section; takes what ``click.option`` takes."""
    return names, settings
