"""Requests' adapters, without what a session that never uses them takes.

Each session has two adapters, and each of these a pool of pools of connections and a rule for
retries: 3 KB, which for ten thousand users are 30 MB.  Sessions whose requests go over our own
connections need none of it.  So a pool is made when somebody asks for it, and the rule, a value
that Requests never changes, is one for all.
"""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import Retry

_init_poolmanager = HTTPAdapter.init_poolmanager
_NO_RETRIES = Retry(0, read=False)  # what Requests has by default


class _MadeWhenNeeded:
    """The attribute ``poolmanager`` of adapters; it is kept where it was without us."""

    def __get__(self, adapter: Any, kind: Any = None) -> Any:
        if adapter is None:
            return self
        state = adapter.__dict__
        if state.get("poolmanager") is None:
            _init_poolmanager(
                adapter, adapter._pool_connections, adapter._pool_maxsize, adapter._pool_block
            )
        return state["poolmanager"]

    def __set__(self, adapter: Any, manager: Any) -> None:
        adapter.__dict__["poolmanager"] = manager


def save_memory() -> None:
    """Have all adapters of this process made so."""
    HTTPAdapter.poolmanager = _MadeWhenNeeded()  # type: ignore[assignment]
    HTTPAdapter.init_poolmanager = _note  # type: ignore[method-assign, assignment]


def _note(
    adapter: Any, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
) -> None:
    """Stands for ``HTTPAdapter.init_poolmanager``: note what the pool is to be like."""
    if pool_kwargs:
        _init_poolmanager(adapter, connections, maxsize, block, **pool_kwargs)
        return
    adapter._pool_connections, adapter._pool_maxsize = connections, maxsize
    adapter._pool_block = block
    adapter.poolmanager = None
    retries = adapter.__dict__.get("max_retries")
    if type(retries) is Retry and vars(retries) == vars(_NO_RETRIES):
        adapter.max_retries = _NO_RETRIES
