"""The directive ``loads-command``: a command's options and exit codes, read from the code.

::

    .. loads-command:: loads.cli.run
    .. loads-exit-codes::
    .. loads-observers::
"""

import importlib
import re

import click
from docutils import nodes
from docutils.parsers.rst import Directive

from loads.errors import ExitCode

# Explanations of enum members are comments to the interpreter, so they are read from the source.
_MEMBER = re.compile(r"^    [A-Z]+ = (\d+)  #: (.+)$", re.MULTILINE)


def _table(rows, header, widths):
    """A docutils table of plain texts; the first column is literal."""
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row(header))
    group += nodes.tbody("", *[_row(row, literal_first=True) for row in rows])
    return nodes.table("", group)


def _row(texts, literal_first=False):
    row = nodes.row()
    for index, text in enumerate(texts):
        kind = nodes.literal if literal_first and index == 0 else nodes.Text
        content = kind(text, text) if kind is nodes.literal else kind(text)
        row += nodes.entry("", nodes.paragraph("", "", content))
    return row


class CommandDirective(Directive):
    """The options of a click command; of a group, those of each command in it."""

    required_arguments = 1

    def run(self):
        command = importlib.import_module(self.arguments[0]).main
        if not isinstance(command, click.Group):
            return [self.table_of(command)]
        found = []
        for name, part in command.commands.items():
            words = " ".join([name, *(p.make_metavar(click.Context(part)) for p in part.params
                                      if isinstance(p, click.Argument))])  # fmt: skip
            found += [nodes.rubric("", words), nodes.paragraph("", part.help)]
            if any(isinstance(parameter, click.Option) for parameter in part.params):
                found.append(self.table_of(part))
        return found

    @staticmethod
    def table_of(command):
        context = click.Context(command, info_name=command.name)
        records = [parameter.get_help_record(context) for parameter in command.params]
        return _table([r for r in records if r], ("Option", "Meaning"), (30, 70))


class ExitCodesDirective(Directive):
    """The exit codes and what they mean."""

    def run(self):
        with open(importlib.import_module("loads.errors").__file__, encoding="utf-8") as source:
            meanings = dict(_MEMBER.findall(source.read()))
        rows = [(str(code.value), meanings[str(code.value)]) for code in ExitCode]
        return [_table(rows, ("Code", "Meaning"), (10, 90))]


class ObserversDirective(Directive):
    """Our observers and their options."""

    def run(self):
        registry = importlib.import_module("loads.observers.registry").Registry()
        rows = [
            (f"--observer-{name}-{option.name}", option.help, option.default)
            for name in registry.own
            for option in registry.options(name)
        ]
        return [_table(rows, ("Option", "Meaning", "Default"), (40, 40, 20))]


def setup(app):
    app.add_directive("loads-observers", ObserversDirective)
    app.add_directive("loads-command", CommandDirective)
    app.add_directive("loads-exit-codes", ExitCodesDirective)
    return {"parallel_read_safe": True}
