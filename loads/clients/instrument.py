"""Makes the clients that tests use measured, whoever imports and builds them.

Called once by a worker, before the test is loaded.  Nothing of it happens in other processes, so a
test under unittest or pytest runs on the libraries as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from loads.clients import names, phases, session


def measure(resolve_once: bool = True, fast: bool = False) -> None:
    """Measure Requests, and WebTest and ws4py when the test comes to import them.

    With ``resolve_once``, a host's name is looked up once in this process; ``fast`` is for
    processes that gevent has patched.
    """
    session.measure(fast)
    phases.measure()
    names.measure(resolve_once)
    when_imported("ws4py.client", _measure_websockets)
    # In two steps, because it may also be our own module that imports WebTest first: then it can
    # only be asked to measure once it is complete itself.
    when_imported("webtest", lambda _: importlib.import_module("loads.clients.app"))
    when_imported("loads.clients.app", lambda app: app.measure())


def _measure_websockets(module: ModuleType) -> None:
    from loads.clients import websocket_meter  # noqa: PLC0415  # most tests have no web sockets

    websocket_meter.measure(module)


def when_imported(module_name: str, function: Callable[[ModuleType], Any]) -> None:
    """Call ``function`` with a module: now, if it is there, else as soon as it was imported.

    So a worker does not pay for the libraries that its test never uses.  What ``function`` raises
    comes out of the test's ``import`` statement.
    """
    module = sys.modules.get(module_name)
    if module is not None:
        function(module)
        return
    if _waiting not in sys.meta_path:
        sys.meta_path.insert(0, _waiting)
    _waiting.functions.setdefault(module_name, []).append(function)


class _Waiting(MetaPathFinder):
    """Finds no module itself: has those that are waited for found by others, and sees to the end.

    The loader that executes the module is the one that it would have had anyway, so that what
    asks a module's loader for source or data finds nothing changed.  Somebody who only looks
    whether there is such a module, or an import that fails, does not end the waiting.
    """

    def __init__(self) -> None:
        self.functions: dict[str, list[Callable[[ModuleType], Any]]] = {}
        self._asking: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        if fullname not in self.functions or fullname in self._asking:
            return None
        self._asking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)  # asks all finders, and so us again
        finally:
            self._asking.discard(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for function in self.functions.pop(fullname, ()):
                function(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_waiting = _Waiting()
