"""Finds parts by name: outputs, observers.  Some are ours, others come with what is installed.

A package offers one as ``NAME = "module:Class"`` under an entry point group such as
``loads.outputs``.  A class is imported when it is asked for and not before, and what is installed
is looked through when a name is none of ours, or when all names are asked for: that takes longer
than a short run does to plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from loads.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
    """The parts of one kind that there are; a class for each kind says which.

    ``group`` is that of the entry points of others, ``noun`` what one is called, in lower case.
    ``ours`` are Loads' own, as ``module:Class`` by name; no other part has one of their names.
    """

    group: ClassVar[str]
    noun: ClassVar[str]
    ours: ClassVar[Mapping[str, str]]

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        """``found`` replaces the installed entry points."""
        self._found = found

    @cached_property
    def _strangers(self) -> dict[str, EntryPoint]:
        """The parts that are not ours."""
        from importlib.metadata import entry_points  # noqa: PLC0415 - see above

        points = entry_points(group=self.group) if self._found is None else self._found
        return {point.name: point for point in points if point.name not in self.ours}

    @property
    def names(self) -> list[str]:
        """All names, in order; nothing is imported."""
        return sorted([*self.ours, *self._strangers])

    @property
    def own(self) -> list[str]:
        """The names of Loads' own, which are cheap to import, in order."""
        return sorted(self.ours)

    def load(self, name: str) -> Any:
        """The class of a part.

        Raises :class:`UsageError` when there is no such part, or when it cannot be imported.
        """
        if name in self.ours:
            module, _, attribute = self.ours[name].partition(":")
            return getattr(import_module(module), attribute)
        if name not in self._strangers:
            raise UsageError(
                f"There is no {self.noun} {name!r}.", _hint(name, self.names, f"{self.noun}s")
            )
        try:
            return self._strangers[name].load()
        except Exception as error:  # it is somebody else's code
            usual = isinstance(error, (ImportError, AttributeError))
            what = str(error) if usual else f"{type(error).__name__}: {error}"
            raise UsageError(
                f"The {self.noun} {name!r} cannot be loaded: {what}.",
                f"It is {self._strangers[name].value}; is all that it needs installed?",
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
                    f"The {self.noun} {name!r} has no option {given!r}.",
                    _hint(given, sorted(declared), "options"),
                )
        chosen = {option.name: option.default for option in declared.values()} | dict(values or {})
        part: _Part = self.load(name)(**{declared[n].keyword: v for n, v in chosen.items()})
        return part


def _hint(name: str, known: list[str], what: str) -> str:
    import difflib  # noqa: PLC0415 - it is for mistakes only

    if not known:
        return f"It has no {what}."
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    return f"{meant}The {what} are: {', '.join(known)}."
