"""Sphinx directive that renders who may do what from the code that decides it.

``.. loads-rights:: roles``, ``messages`` or ``sockets``
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from protocol_tables import _code, _Directive, _plain
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

from loads.protocol import messages, roles
from loads.protocol.roles import MAY, SOCKETS, Role


class RightsDirective(_Directive):
    """The roles, or a table of who may open or send what."""

    def run(self) -> list[nodes.Node]:
        self.note_sources(roles)
        parts = {"roles": self.roles, "messages": self.messages, "sockets": self.sockets}
        if self.arguments[0] not in parts:
            raise self.error(f"loads-rights is one of {', '.join(parts)}")
        return [parts[self.arguments[0]]()]

    def roles(self) -> nodes.table:
        comments = ModuleAnalyzer.for_module(roles.__name__).find_attr_docs()
        rows = [
            [_code(role.value), self.parsed("\n".join(comments["Role", role.name]))]
            for role in Role
        ]
        return self.table(("Role", "Meaning"), (20, 80), rows)

    def messages(self) -> nodes.table:
        kinds = (*messages.FROM_CLIENT, *messages.FROM_AGENT)
        rows = [[_code(kind.__name__), *_marks(MAY[kind])] for kind in kinds]
        return self.table(("Message", *_names()), (36, 16, 16, 16, 16), rows)

    def sockets(self) -> nodes.table:
        rows = [[_code(name), *_marks(allowed)] for name, allowed in SOCKETS.items()]
        return self.table(("Socket", *_names()), (36, 16, 16, 16, 16), rows)


def _names() -> list[str]:
    return [role.value for role in Role]


def _marks(allowed: frozenset[Role]) -> list[list[nodes.Node]]:
    return [_plain("yes" if role in allowed else "-") for role in Role]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("loads-rights", RightsDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
