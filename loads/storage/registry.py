"""Finds a storage by the scheme of its URL.

A package offers one as ``SCHEME = "module:Class"`` under the entry point group
``loads.storages``.  A class is imported when it is asked for and not before, is made of the URL,
and is then a :class:`~loads.storage.base.Storage`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from loads.errors import StorageError
from loads.storage.base import Storage

GROUP = "loads.storages"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")  # two letters at least: C: is none
_EXTRAS = {"psycopg": "postgres", "redis": "redis"}


def open_storage(url: str, found: Iterable[EntryPoint] | None = None) -> Storage:
    """The storage at a URL; a path is an SQLite file.

    ``found`` replaces the installed entry points.  Raises :class:`StorageError`.
    """
    points = entry_points(group=GROUP) if found is None else found
    by_scheme = {point.name: point for point in points}
    match = _SCHEME.match(url)
    scheme = match[1] if match else "sqlite"
    if scheme not in by_scheme:
        raise StorageError(
            f"No database is known by {scheme}:.",
            f"Give a path, or a URL that begins with one of: {', '.join(sorted(by_scheme))}.",
        )
    try:
        made: Storage = by_scheme[scheme].load()(url)
    except ImportError as error:
        extra = _EXTRAS.get(error.name or "")
        raise StorageError(
            f"A {scheme} database needs {error.name or error}, which is not installed.",
            f"pip install 'loads[{extra}]'" if extra else f"It is {by_scheme[scheme].value}.",
        ) from error
    return made
