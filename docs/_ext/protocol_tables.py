"""Sphinx directives that render the protocol from its code, so that the two cannot disagree.

``.. loads-messages:: FROM_AGENT``
    The messages of one direction: a tuple of ``loads.protocol.messages``, or names of its classes.
``.. loads-fields:: loads.metrics.summary.RunView``
    The fields of one dataclass that messages contain.
``.. loads-dialogue:: states``, ``backend`` or ``frontend``
    The states with their meanings; what may follow what; what a request is answered with.

What a message means is its docstring, what a state means is the comment beside it.  The limits of
``loads.protocol.limits`` are substitutions: ``|MAX_ID|`` is the number.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from loads.protocol import codec, dialogue, limits, messages
from loads.protocol.dialogue import REPLIES, TABLE, Side, State

Cell = list[nodes.Node]

_CLASS = re.compile(r":(?:class|func|data|mod):`~?(?:[\w.]+\.)?(\w+)`")


class _Directive(SphinxDirective):
    """What the three have in common: text to nodes, and nodes to tables."""

    required_arguments = 1
    has_content = False

    def note_sources(self, *modules: Any) -> None:
        """Have the page rendered again when the code has changed."""
        for module in (*modules, codec, dialogue, limits, messages):
            self.env.note_dependency(module.__file__)

    def parsed(self, text: str) -> list[nodes.Node]:
        """reStructuredText as nodes; names of classes are code here, and no links."""
        holder = nodes.Element()
        text = _CLASS.sub(r"``\1``", text)
        lines = StringList(text.splitlines(), source=self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, holder)
        return list(holder.children)

    def table(
        self, heads: Sequence[str], widths: Sequence[int], rows: Iterable[list[Cell]]
    ) -> nodes.table:
        """A table with a line of headings."""
        group = nodes.tgroup(cols=len(heads))
        group += [nodes.colspec(colwidth=width) for width in widths]
        group += nodes.thead("", self.row([[nodes.paragraph("", head)] for head in heads]))
        group += nodes.tbody("", *(self.row(cells) for cells in rows))
        return nodes.table("", group)

    @staticmethod
    def row(cells: Sequence[Cell]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", *cell) for cell in cells))


def _code(*texts: str) -> Cell:
    """Some literals with commas between them, as one paragraph."""
    paragraph = nodes.paragraph()
    for text in texts:
        if paragraph.children:
            paragraph += nodes.Text(", ")
        paragraph += nodes.literal("", text)
    return [paragraph]


def _plain(text: str) -> Cell:
    return [nodes.paragraph("", text)]


def _type_name(hint: Any) -> str:
    """A type as the page spells it: ``str``, ``list of str``, ``int or nothing``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " | ".join(f'"{choice}"' for choice in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if type(None) in arguments:
        return f"{_type_name(arguments[0])} or nil"
    if typing.get_origin(hint) is not None or not isinstance(hint, type):
        return str(hint)
    return hint.__name__


def _default(field: dataclasses.Field[Any]) -> Cell:
    if field.default_factory is not dataclasses.MISSING:
        return _plain("empty")
    if field.default is dataclasses.MISSING:
        return _plain("required")
    default = "nil" if field.default is None else repr(field.default).replace("'", '"')
    return _code(default)


class _FieldsDirective(_Directive):
    """Fields of a dataclass: name, type, default."""

    def fields_of(self, cls: Any) -> list[nodes.Node]:
        fields = dataclasses.fields(cls)
        if not fields:
            return _plain("No fields.")
        hints = typing.get_type_hints(cls)
        rows = [
            [_code(field.name), _plain(_type_name(hints[field.name])), _default(field)]
            for field in fields
        ]
        return [self.table(("Field", "Type", "If left out"), (30, 45, 25), rows)]

    def run(self) -> list[nodes.Node]:
        module_name, _, name = self.arguments[0].rpartition(".")
        module = import_module(module_name)
        self.note_sources(module)
        cls = getattr(module, name)
        return [*self.parsed(inspect.getdoc(cls) or ""), *self.fields_of(cls)]


class MessagesDirective(_FieldsDirective):
    """Every message of a direction, with its meaning and its fields."""

    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        self.note_sources()
        found: list[nodes.Node] = []
        for name in self.arguments[0].split():
            value = getattr(messages, name)
            for cls in value if isinstance(value, tuple) else (value,):
                found += self.message(cls)
        return found

    def message(self, cls: type[messages.Message]) -> list[nodes.Node]:
        kind = cls.__name__
        rubric = nodes.rubric("", kind, ids=[f"message-{kind.lower()}"], names=[])
        return [rubric, *self.parsed(inspect.getdoc(cls) or ""), *self.fields_of(cls)]


class DialogueDirective(_Directive):
    """The states, the backend's table, or the frontend's replies."""

    def run(self) -> list[nodes.Node]:
        self.note_sources()
        parts = {"states": self.states, "backend": self.backend, "frontend": self.frontend}
        if self.arguments[0] not in parts:
            raise self.error(f"loads-dialogue is one of {', '.join(parts)}")
        return [parts[self.arguments[0]]()]

    def states(self) -> nodes.table:
        comments = ModuleAnalyzer.for_module(dialogue.__name__).find_attr_docs()
        rows = [
            [_code(state.value), self.parsed("\n".join(comments["State", state.name]))]
            for state in State
        ]
        return self.table(("State", "Meaning"), (20, 80), rows)

    def backend(self) -> nodes.table:
        rows = []
        for state in State:
            first = _code(state.value)
            if not TABLE[state]:
                rows.append([first, _plain("nobody"), _plain("nothing"), _plain("")])
            for side in Side:
                for after, kinds in self.steps(state, side).items():
                    end = _plain("no change") if after is state else _code(after.value)
                    rows.append([first, _plain(side.value), _code(*kinds), end])
                    first = _plain("")
        return self.table(("In state", "the", "may send", "which leads to"), (15, 12, 53, 20), rows)

    @staticmethod
    def steps(state: State, side: Side) -> dict[State, list[str]]:
        """What ``side`` may send, by the state that it leads to; first what changes the state."""
        order = {kind: number for number, kind in enumerate(messages.ALL)}
        found: dict[State, list[str]] = {}
        steps = [(k, after) for (sender, k), after in TABLE[state].items() if sender is side]
        for kind, after in sorted(steps, key=lambda step: (step[1] is state, order[step[0]])):
            found.setdefault(after, []).append(kind.__name__)
        return found

    def frontend(self) -> nodes.table:
        rows = [
            [_code(request.__name__), _code(*(reply.__name__ for reply in replies))]
            for request, replies in REPLIES.items()
        ]
        return self.table(("Request", "Replies"), (30, 70), rows)


def _limits() -> str:
    """A substitution for each limit, as reStructuredText."""
    found = {n: v for n, v in vars(limits).items() if n.startswith("MAX_")}
    return "".join(f"\n.. |{name}| replace:: {value:,}" for name, value in found.items())


def setup(app: Sphinx) -> dict[str, Any]:
    app.config.rst_epilog = (app.config.rst_epilog or "") + _limits()
    app.add_directive("loads-messages", MessagesDirective)
    app.add_directive("loads-fields", _FieldsDirective)
    app.add_directive("loads-dialogue", DialogueDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
