"""Finds outputs by name among the entry points of what is installed.

A package offers an output as ``NAME = "module:Class"`` under the entry point group
``loads.outputs``.  A class is imported when it is asked for and not before.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from loads.errors import UsageError
from loads.outputs.base import Output, OutputOption

GROUP = "loads.outputs"


class Registry:
    """The outputs that there are.  ``found`` replaces the installed entry points."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        points = entry_points(group=GROUP) if found is None else found
        self._points = {point.name: point for point in points}

    @property
    def names(self) -> list[str]:
        """All names, in order; nothing is imported."""
        return sorted(self._points)

    @property
    def own(self) -> list[str]:
        """The names of Loads' own outputs, which are cheap to import, in order."""
        return [n for n in self.names if self._points[n].value.startswith(f"{__package__}.")]

    def load(self, name: str) -> Any:
        """The class of an output.

        Raises :class:`UsageError` when there is no such output, or when it cannot be imported.
        """
        if name not in self._points:
            raise UsageError(f"There is no output {name!r}.", _hint(name, self.names, "outputs"))
        try:
            return self._points[name].load()
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"The output {name!r} cannot be loaded: {error}.",
                f"It is {self._points[name].value}; is all that it needs installed?",
            ) from error

    def options(self, name: str) -> tuple[OutputOption, ...]:
        """What options an output declares.  Raises :class:`UsageError` as :meth:`load` does."""
        return tuple(getattr(self.load(name), "options", ()))

    def build(self, name: str, values: Mapping[str, str] | None = None) -> Output:
        """A new output; ``values`` are by option name, and what is missing is the default.

        Raises :class:`UsageError` when the output has no such option or refuses a value.
        """
        declared = {option.name: option for option in self.options(name)}
        for given in values or {}:
            if given not in declared:
                raise UsageError(
                    f"The output {name!r} has no option {given!r}.",
                    _hint(given, sorted(declared), "options"),
                )
        chosen = {option.name: option.default for option in declared.values()} | dict(values or {})
        output: Output = self.load(name)(**{declared[n].keyword: v for n, v in chosen.items()})
        return output


def _hint(name: str, known: list[str], what: str) -> str:
    if not known:
        return f"It has no {what}." if what == "options" else "Is Loads installed (pip install)?"
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    return f"{meant}The {what} are: {', '.join(known)}."
