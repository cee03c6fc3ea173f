"""Adapters that make their pools when these are asked for; else they are Requests' own."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, Retry

from loads.clients import adapters


@pytest.fixture(autouse=True)
def saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HTTPAdapter, "init_poolmanager", adapters._init_poolmanager)
    monkeypatch.setattr(HTTPAdapter, "poolmanager", None, raising=False)  # put back afterwards
    adapters.save_memory()


def is_made(adapter: Any) -> bool:
    return adapter.__dict__["poolmanager"] is not None


def test_a_pool_is_made_when_it_is_asked_for() -> None:
    adapter: Any = requests.Session().get_adapter("http://shop.example/")
    assert not is_made(adapter)
    pool = adapter.poolmanager
    assert type(pool) is PoolManager
    assert adapter.poolmanager is pool


def test_it_is_as_it_was_wanted() -> None:
    adapter = HTTPAdapter(pool_connections=3, pool_maxsize=7, pool_block=True)
    assert adapter.poolmanager.connection_pool_kw == {"maxsize": 7, "block": True}
    assert adapter.poolmanager.pools._maxsize == 3


def test_options_of_a_subclass_reach_the_pool_at_once() -> None:
    class Picky(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs, assert_hostname=False)

    adapter = Picky()
    assert is_made(adapter)
    assert adapter.poolmanager.connection_pool_kw["assert_hostname"] is False


def test_a_subclass_may_set_a_pool_of_its_own() -> None:
    own = PoolManager()

    class Own(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            self.poolmanager = own

    assert Own().poolmanager is own


def test_retries_are_shared_only_where_there_are_none() -> None:
    first, second = HTTPAdapter(), HTTPAdapter()
    assert first.max_retries is second.max_retries
    assert vars(first.max_retries) == vars(Retry(0, read=False))
    assert HTTPAdapter(max_retries=2).max_retries.total == 2
    with_backoff = Retry(0, read=False, backoff_factor=1)
    assert HTTPAdapter(max_retries=with_backoff).max_retries is with_backoff


def test_a_copy_of_an_adapter_works_too() -> None:
    adapter = pickle.loads(pickle.dumps(HTTPAdapter(pool_maxsize=7)))
    assert adapter.poolmanager.connection_pool_kw["maxsize"] == 7


def test_sessions_are_closed_as_ever() -> None:
    with requests.Session() as session:
        session.get_adapter("http://shop.example/")
