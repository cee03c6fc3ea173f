"""Reads configuration files: v1's INI and TOML, as the suffix says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loads.errors import UsageError

if TYPE_CHECKING:  # most runs have no INI file
    import configparser

_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_REFERENCE = re.compile(r"(\$?)\$\{([^{}\n]+)\}")
#: Sections of an INI file that hold options as well: ``channel`` in ``[observer-irc]`` is
#: ``observer-irc-channel``.
_PREFIXES = ("observer", "output")
_NO_DEFAULT_SECTION = "\n"  # a name that no section can have: what is in [DEFAULT] is for us only
_OURS = ("DEFAULT", "loads")
_OTHERS = ("extends", "overrides")  #: keys of [DEFAULT] that name files: beneath this one, above it
_TABLES = ("env",)  #: options that may be written as a table, so also as one at the top level


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file: its absolute path, its name as the user knows it, and its values."""

    path: Path
    label: str
    values: Mapping[str, Any]


def locate_file(
    named: str, directory: Path, environ: Mapping[str, str] | None = None
) -> ConfigFile | None:
    """Read the file that was ``named``, or else the one that is in ``directory``, if any.

    Raises :class:`UsageError` as :func:`read_file` does.
    """
    if named:
        return read_file(named, environ=environ)
    if (directory / "loads.toml").is_file():
        return read_file(directory / "loads.toml", "loads.toml")
    pyproject = directory / "pyproject.toml"
    try:
        # Most projects do not mention us, and then their file is none of our business.
        mentioned = b"loads" in pyproject.read_bytes()
    except OSError:
        return None
    if not mentioned or not isinstance(_tool_section(_read_toml(pyproject, pyproject.name)), dict):
        return None
    return read_file(pyproject, pyproject.name)


def read_file(
    path: str | Path, label: str = "", environ: Mapping[str, str] | None = None
) -> ConfigFile:
    """Read a configuration file; messages call it ``label``, or else as ``path`` spells it.

    In an INI file, ``${NAME}`` is what the variable of that name is in ``environ``.

    Raises :class:`UsageError` when it cannot be read, breaks its syntax or has no section for us.
    """
    label = label or str(path)
    if Path(path).suffix == ".toml":
        values = _toml_section(_read_toml(Path(path), label), Path(path).name, label)
    else:
        values = _read_ini(Path(path), label, environ or {})
    return ConfigFile(Path(path).absolute(), label, values)


def _read_text(path: Path, label: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"There is no file {label}.", "Name another with --config.") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{label} is not UTF-8: byte {error.start + 1} is {error.object[error.start]:#04x}.",
            "Save it as UTF-8.",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"{label} cannot be read: {reason}.", "Name another with --config."
        ) from error


def _read_ini(path: Path, label: str, environ: Mapping[str, str]) -> dict[str, Any]:
    parser = _parse_ini(path, label)
    if not parser.has_section("loads"):
        raise UsageError(
            f"{label} has no [loads] section.", "Write [loads] on a line above the options."
        )
    values = _section_values(parser, path, environ)
    beneath, above = (_read_other(parser, key, path, environ) for key in _OTHERS)
    return _over(_over(beneath, values), above)


def _over(lower: Mapping[str, str], upper: Mapping[str, str]) -> dict[str, str]:
    """The values of both; ``upper`` counts where they name the same, however it is spelled."""
    named = {key.replace("-", "_") for key in upper}
    return {k: v for k, v in lower.items() if k.replace("-", "_") not in named} | dict(upper)


def _read_other(
    parser: configparser.RawConfigParser, key: str, path: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """The values of the file that ``[DEFAULT]`` names; found from where it is, or else from here.

    That file's own ``[DEFAULT]`` names no further ones.
    """
    text = parser.get("DEFAULT", key, fallback="").strip()
    if not text:
        return {}
    named = _unquoted(_expanded(text, _known(path, environ)))
    beside = path.parent / named
    other = beside if beside.is_file() else Path(named)
    if not other.is_file():
        raise UsageError(
            f"{path.name}: {key} = {shown(named)}: there is no such file.",
            "It is looked for beside that file, and in the current directory.",
        )
    return _section_values(_parse_ini(other, named), other, environ)


def _parse_ini(path: Path, label: str) -> configparser.RawConfigParser:
    import configparser  # noqa: PLC0415

    parser = configparser.RawConfigParser(default_section=_NO_DEFAULT_SECTION)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(_read_text(path, label), label)
    except configparser.Error as error:
        line, what = _ini_fault(error)
        at = f", line {line}" if line else ""
        raise UsageError(
            f"{label}{at}: {what}.", "A line is a [section], name = value, or # a comment."
        ) from error
    return parser


def _section_values(
    parser: configparser.RawConfigParser, path: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """What the sections that are ours hold.  As in Loads 1, ``[DEFAULT]`` is one of them."""
    given = {
        f"{section}-{key}": value
        for section in parser.sections()
        if section.replace("_", "-").partition("-")[0] in _PREFIXES
        for key, value in parser.items(section)
    }
    default, own = (dict(parser.items(name)) if parser.has_section(name) else {} for name in _OURS)
    default = {key: value for key, value in default.items() if key not in _OTHERS}
    known = _known(path, environ)
    return {
        key: _unquoted(_expanded(value, known))
        for key, value in (given | _over(default, own)).items()
    }


def _known(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, "HERE": str(path.parent)}


def _expanded(value: str, known: Mapping[str, str]) -> str:
    """A value with its references to variables replaced, as Loads 1 did.

    ``$${NAME}`` is ``${NAME}``, and so is a name that is not known: it may be the test's affair.
    """

    def replace(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        whole = match[0].removeprefix("$") if escaped else match[0]
        return whole if escaped else known.get(name, whole)

    return _REFERENCE.sub(replace, value)


def _ini_fault(error: configparser.Error) -> tuple[int, str]:
    """Where and what is wrong, in words; configparser's own hold several lines."""
    import configparser  # noqa: PLC0415

    if isinstance(error, configparser.DuplicateOptionError):
        return error.lineno or 0, f"{shown(error.option)} is given twice"
    if isinstance(error, configparser.DuplicateSectionError):
        return error.lineno or 0, f"there is another section [{error.section}]"
    if isinstance(error, configparser.MissingSectionHeaderError):
        return error.lineno, "this is outside of any [section]"
    if isinstance(error, configparser.ParsingError) and error.errors:
        return error.errors[0][0], "this is neither a [section] nor name = value"
    return 0, "it cannot be understood"


def _unquoted(value: str) -> str:
    """Loads 1 took a pair of double quotes around a value away."""
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _read_toml(path: Path, label: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - most runs have no TOML file
    else:
        import tomli as tomllib  # noqa: PLC0415
    text = _read_text(path, label)
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line = _LINE.search(str(error))
        at = f", line {line[1]}" if line else ""
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        what = _LINE.sub("", what).strip()
        raise UsageError(f"{label}{at}: {what}.", "In TOML, texts are in quotes.") from error
    return data


def _toml_section(data: Mapping[str, Any], name: str, label: str) -> Mapping[str, Any]:
    if name == "pyproject.toml":
        section = _tool_section(data)
        if not isinstance(section, dict):
            raise UsageError(
                f"{label} has no [tool.loads] section.", "Write [tool.loads] above the options."
            )
        return section
    section = data.get("loads")
    if not isinstance(section, dict):
        # Tables are other programs' sections, except those that an option may be written as.
        return {k: v for k, v in data.items() if not isinstance(v, dict) or k in _TABLES}
    stray = [key for key, value in data.items() if not isinstance(value, dict)]
    if stray:
        raise UsageError(
            f"{label} has a [loads] section, and {shown(stray[0])} is outside of it.",
            "Write all options below [loads], or none.",
        )
    return section


def _tool_section(data: Mapping[str, Any]) -> Any:
    tool = data.get("tool")
    return tool.get("loads") if isinstance(tool, dict) else None


def shown(value: object) -> str:
    """A value within a message: one line, and not a long one."""
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    text = str(value)
    text = text if text.isprintable() else json.dumps(text)
    return text if len(text) <= 60 else f"{text[:57]}..."
