"""Finds parts by name among the entry points of what is installed: outputs, observers.

A package offers one as ``NAME = "module:Class"`` under an entry point group such as
``loads.outputs``.  A class is imported when it is asked for and not before.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from loads.errors import UsageError

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class PluginOption:
    """An option of a part: on the command line, ``--output-NAME-OPTION`` or its like.

    A class lists its own as ``options: ClassVar[tuple[PluginOption, ...]]`` and takes their
    values, which are strings, as keyword arguments of its constructor.
    ``name`` is in lower case, its words joined by ``-``; ``secret`` tells that its value is.
    """

    name: str
    default: str = ""
    help: str = ""
    secret: bool = False

    @property
    def keyword(self) -> str:
        """The name as a keyword argument: ``flush-every`` is ``flush_every``."""
        return self.name.replace("-", "_")


class Plugins(Generic[_Part]):
    """The parts of one kind that there are.

    ``noun`` is what one is called, in lower case, and ``package`` where our own are.  ``found``
    replaces the installed entry points.
    """

    def __init__(
        self, group: str, noun: str, package: str, found: Iterable[EntryPoint] | None = None
    ) -> None:
        points = entry_points(group=group) if found is None else found
        self._points = {point.name: point for point in points}
        self._noun, self._package = noun, package

    @property
    def names(self) -> list[str]:
        """All names, in order; nothing is imported."""
        return sorted(self._points)

    @property
    def own(self) -> list[str]:
        """The names of Loads' own, which are cheap to import, in order."""
        return [n for n in self.names if self._points[n].value.startswith(f"{self._package}.")]

    def load(self, name: str) -> Any:
        """The class of a part.

        Raises :class:`UsageError` when there is no such part, or when it cannot be imported.
        """
        if name not in self._points:
            raise UsageError(
                f"There is no {self._noun} {name!r}.", _hint(name, self.names, f"{self._noun}s")
            )
        try:
            return self._points[name].load()
        except Exception as error:  # it is somebody else's code
            usual = isinstance(error, (ImportError, AttributeError))
            what = str(error) if usual else f"{type(error).__name__}: {error}"
            raise UsageError(
                f"The {self._noun} {name!r} cannot be loaded: {what}.",
                f"It is {self._points[name].value}; is all that it needs installed?",
            ) from error

    def options(self, name: str) -> tuple[PluginOption, ...]:
        """What options a part declares.  Raises :class:`UsageError` as :meth:`load` does."""
        return tuple(getattr(self.load(name), "options", ()))

    def build(self, name: str, values: Mapping[str, str] | None = None) -> _Part:
        """A new part; ``values`` are by option name, and what is missing is the default.

        Raises :class:`UsageError` when it has no such option or refuses a value.
        """
        declared = {option.name: option for option in self.options(name)}
        for given in values or {}:
            if given not in declared:
                raise UsageError(
                    f"The {self._noun} {name!r} has no option {given!r}.",
                    _hint(given, sorted(declared), "options"),
                )
        chosen = {option.name: option.default for option in declared.values()} | dict(values or {})
        part: _Part = self.load(name)(**{declared[n].keyword: v for n, v in chosen.items()})
        return part


def _hint(name: str, known: list[str], what: str) -> str:
    if not known:
        return f"It has no {what}." if what == "options" else "Is Loads installed (pip install)?"
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    return f"{meant}The {what} are: {', '.join(known)}."
