"""What a session keeps its headers and adapters in notices every way of changing it."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from loads.clients.plain import Counting

CHANGES: dict[str, Callable[[Any], Any]] = {
    "set": lambda items: items.__setitem__("a", 2),
    "set anew": lambda items: items.__setitem__("c", 2),
    "delete": lambda items: items.__delitem__("a"),
    "pop": lambda items: items.pop("a"),
    "pop the last": lambda items: items.popitem(),
    "pop the first": lambda items: items.popitem(last=False),
    "clear": lambda items: items.clear(),
    "update": lambda items: items.update({"a": 3}),
    "update with keywords": lambda items: items.update(c=3),
    "setdefault": lambda items: items.setdefault("c", 4),
    "or": lambda items: items.__ior__({"a": 5}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_counted(change: Callable[[Any], Any]) -> None:
    plain, counting = OrderedDict(a=1, b=2), Counting({"a": 1, "b": 2})
    before = counting.version
    assert change(counting) == change(plain)
    assert counting == plain
    assert counting.version > before


def test_reading_is_no_change() -> None:
    counting = Counting({"a": 1})
    before = counting.version
    assert (counting["a"], counting.get("b"), list(counting), len(counting)) == (1, None, ["a"], 1)
    assert counting.setdefault("a", 9) == 1
    assert counting.version == before


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_is_nobodys(again: Callable[[Any], Any]) -> None:
    counting = Counting({"a": 1})
    other = again(counting)
    assert type(other) is OrderedDict
    assert other == counting
