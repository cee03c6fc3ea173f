"""What counts, of all that a file, the environment and the command line say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

from loads.config.files import ConfigFile, shown
from loads.errors import UsageError

PREFIX = "LOADS_"
#: Variables that are settings of the machine or of the tests of Loads, and so no options.
NOT_OPTIONS = frozenset({"LOADS_HOME", "LOADS_RUNTIME_DIR", "LOADS_REQUIRE_ALL", "LOADS_TEST_ID"})
LOOKS_ALIKE = 0.8  #: of difflib's ratio, from which a name is taken for a mistyped option

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
# A comma inside brackets, as in package[a,b], or before a comparison, as in package>=1,<2,
# belongs to the requirement that it is in.
_BETWEEN_ITEMS = re.compile(r"\n|,(?![^\[\n]*\])(?!\s*[<>=!~])")

Value = str | bool | tuple[str, ...]
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Option:
    """An option that every source may set.

    ``name`` is in lower case, its words joined by ``-``.  Without a ``default`` it is not set.
    """

    name: str
    kind: Literal["text", "list", "flag"] = "text"
    default: Value | None = None


class Source(IntEnum):
    """Where a setting comes from; the greater one counts."""

    DEFAULT = 0
    FILE = 1
    ENVIRONMENT = 2
    COMMAND_LINE = 3


@dataclass(frozen=True)
class Setting:
    """The value of an option, and who gave it.

    ``spelling`` is how its source calls the option, ``where`` where that is: ``in loads.ini``.
    """

    value: Value
    source: Source
    spelling: str
    where: str = ""

    def blame(self, message: str, hint: str = "") -> UsageError:
        """The error that this setting causes, naming its source unless that is in plain sight."""
        if self.source in (Source.FILE, Source.ENVIRONMENT):
            message = f"{self.spelling} = {shown(self.value)} ({self.where}): {message}"
        return UsageError(message, hint)


@dataclass(frozen=True)
class Configuration:
    """All settings of a command.

    ``settings``
        What counts, by option name.  An option that nobody set and that has no default is missing.
    ``extra``
        What the file holds besides options; it is for the test.
    ``files``
        The configuration file, if there is one: it belongs to what the test needs.
    ``warnings``
        Lines for standard error about names that look like mistyped options.
    """

    settings: Mapping[str, Setting] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def text(self, name: str) -> str:
        """The text of an option; empty when it is not set."""
        value = self._value(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        """Whether a flag is set."""
        return self._value(name) is True

    def items(self, name: str) -> tuple[str, ...]:
        """The items of a list; none when it is not set."""
        value = self._value(name)
        return value if isinstance(value, tuple) else ()

    def source(self, name: str) -> Source | None:
        """Where an option's value comes from; None when it is not set."""
        setting = self.settings.get(name)
        return None if setting is None else setting.source

    def read(self, name: str, parse: Callable[[str], _Read]) -> _Read | None:
        """The text of an option as ``parse`` understands it; None when it is not set or empty.

        Raises the :class:`UsageError` that ``parse`` raises, and says where the text is from.
        """
        return self._parsed(name, self.text(name), parse) if self.text(name) else None

    def read_items(self, name: str, parse: Callable[[str], _Read]) -> tuple[_Read, ...]:
        """The items of a list as ``parse`` understands them; like :meth:`read`."""
        return tuple(self._parsed(name, item, parse) for item in self.items(name))

    def _parsed(self, name: str, text: str, parse: Callable[[str], _Read]) -> _Read:
        try:
            return parse(text)
        except UsageError as error:
            raise self.settings[name].blame(error.message, error.hint) from error

    def _value(self, name: str) -> Value | None:
        setting = self.settings.get(name)
        return None if setting is None else setting.value


def configure(
    options: Iterable[Option],
    given: Mapping[str, Value],
    environ: Mapping[str, str],
    file: ConfigFile | None = None,
    exclusive: Mapping[tuple[str, str], str] | None = None,
) -> Configuration:
    """Find what counts.

    ``given`` is what the command line says, by option name; what it does not say is not in it.
    Of each pair in ``exclusive``, which come with a hint, the one from the stronger source counts.
    Raises :class:`UsageError` when a value does not fit its option, and when one source gives
    both of an exclusive pair.
    """
    known = {option.name: option for option in options}
    settings = {
        option.name: Setting(option.default, Source.DEFAULT, option.name)
        for option in known.values()
        if option.default is not None
    }
    from_file, extra = _from_file(known, file) if file else ({}, {})
    settings |= from_file | _from_environment(known, environ)
    settings |= {
        name: Setting(value, Source.COMMAND_LINE, f"--{name}") for name, value in given.items()
    }
    for setting in settings.values():
        _check_encoding(setting)
    for pair, hint in (exclusive or {}).items():
        _exclude(settings, *pair, hint)
    return Configuration(
        settings,
        extra,
        (file.path,) if file else (),
        (*_odd_keys(known, extra, file), *_odd_variables(known, environ)),
    )


def _exclude(settings: dict[str, Setting], one: str, other: str, hint: str) -> None:
    """Of two settings that exclude each other, drop the weaker."""
    if one not in settings or other not in settings:
        return
    first, second = settings[one], settings[other]
    if first.source is second.source:
        where = f" ({first.where})" if first.where else ""
        raise UsageError(f"{first.spelling} and {second.spelling} exclude each other{where}.", hint)
    del settings[one if first.source < second.source else other]


# -- the sources -----------------------------------------------------------------------------------


def _from_file(
    known: Mapping[str, Option], file: ConfigFile
) -> tuple[dict[str, Setting], dict[str, str]]:
    """What a file sets, and what else is in it."""
    settings: dict[str, Setting] = {}
    extra: dict[str, str] = {}
    where = f"in {file.label}"
    for key, raw in file.values.items():
        option = known.get(_name(key))
        if _name(key) == "config":
            raise UsageError(f"{file.label}: a configuration file cannot name another one.")
        if option is None:
            extra[key] = _as_text(key, raw, file.label)
        elif option.name in settings:
            raise UsageError(
                f"{file.label}: {settings[option.name].spelling} and {key} are the same option.",
                "Give one of them.",
            )
        elif raw != "":
            settings[option.name] = Setting(_fit(option, key, raw, where), Source.FILE, key, where)
    return settings, extra


def _from_environment(
    known: Mapping[str, Option], environ: Mapping[str, str]
) -> dict[str, Setting]:
    """What variables set.  One that is empty does not."""
    settings = {}
    where = "in the environment"
    for option in known.values():
        variable = _variable(option.name)
        if environ.get(variable):
            value = _fit(option, variable, environ[variable], where)
            settings[option.name] = Setting(value, Source.ENVIRONMENT, variable, where)
    return settings


# -- values --------------------------------------------------------------------------------------


def _fit(option: Option, spelling: str, raw: Any, where: str) -> Value:
    """A value as its option needs it.  Raises :class:`UsageError` naming the source."""

    def refuse(what: str, hint: str) -> UsageError:
        return UsageError(f"{spelling} = {shown(raw)} ({where}): {what}.", hint)

    if option.kind == "flag":
        word = str(raw).strip().lower()
        if word not in _TRUE | _FALSE or isinstance(raw, (list, dict)):
            raise refuse("it is switched on or off, and this is neither", "Give true or false.")
        return word in _TRUE
    if option.kind == "list":
        if isinstance(raw, dict):
            raw = [f"{key}={value}" for key, value in raw.items()]
        items = raw if isinstance(raw, list) else _BETWEEN_ITEMS.split(str(raw))
        if any(isinstance(item, (list, dict)) for item in items):
            raise refuse("a list within a list makes no sense here", "Give a list of texts.")
        return tuple(text for item in items if (text := str(item).strip()))
    if isinstance(raw, (list, dict)) or "\n" in str(raw).strip():
        raise refuse("it takes one value", "Groups are written as in 10:20:30.")
    return str(raw).strip()


def _as_text(key: str, raw: Any, label: str) -> str:
    """A value that is for the test."""
    if isinstance(raw, list) and not any(isinstance(item, dict) for item in raw):
        return ",".join(_as_text(key, item, label) for item in raw)
    if isinstance(raw, (list, dict)):
        raise UsageError(
            f"{label}: {shown(key)} is a table, and tests are given texts only.",
            f"Write its values as keys of their own, as in {key}_name = ...",
        )
    return str(raw)


def _check_encoding(setting: Setting) -> None:
    """Arguments and variables may be any bytes; what cannot be text cannot travel."""
    items = setting.value if isinstance(setting.value, tuple) else (str(setting.value),)
    try:
        "".join(items).encode()
    except UnicodeEncodeError:
        raise UsageError(f"The value of {setting.spelling} is not UTF-8.") from None


# -- names ---------------------------------------------------------------------------------------


def _name(key: str) -> str:
    return key.strip().lower().replace("_", "-")


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace("-", "_")


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _odd_keys(
    known: Mapping[str, Option], extra: Mapping[str, str], file: ConfigFile | None
) -> Iterable[str]:
    for key in extra:
        close = _close_to(_name(key), known)
        if close and file:
            meant = close[0].replace("-", "_") if "_" in key else close[0]
            yield (
                f"warning: {file.label}: {_quoted(key)} is no option; did you mean "
                f"{_quoted(meant)}? It is passed on to the test."
            )


def _odd_variables(known: Mapping[str, Option], environ: Mapping[str, str]) -> Iterable[str]:
    variables = {_variable(name) for name in known} | NOT_OPTIONS
    names = sorted(variable.removeprefix(PREFIX) for variable in variables)
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in variables:
            continue
        close = _close_to(variable.removeprefix(PREFIX), names)
        if close:
            yield (
                f"warning: {_quoted(variable)} is no option; did you mean "
                f"{_quoted(PREFIX + close[0])}? It is ignored."
            )


def _close_to(name: str, known: Iterable[str]) -> list[str]:
    """What an unknown name may have been meant to be: one, or none."""
    import difflib  # noqa: PLC0415 - it is for mistakes only

    return difflib.get_close_matches(name, known, 1, LOOKS_ALIKE)
