"""Loads turns functional tests into load tests."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loads.case import TestCase as TestCase
    from loads.case import weight as weight

__version__ = "0.1.0"
__all__ = ["TestCase", "__version__", "weight"]

# Resolved when used (PEP 562): a broker that imports loads.protocol must not pay for Requests.
_PUBLIC = {"TestCase": "loads.case", "weight": "loads.case"}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
