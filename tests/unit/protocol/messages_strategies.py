"""A strategy for every message class, made from the types of its fields.

A field whose type says less than its validation does is in :data:`NARROWER`, by its name; the few
classes whose fields have to agree with each other are in :data:`WHOLE`.
"""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import limits
from loads.protocol import messages as m
from tests.unit.strategies import run_plans, tallies

ids = st.text(min_size=1, max_size=5) | st.just("x" * limits.MAX_ID)
texts = st.text(max_size=5) | st.just("é" * limits.MAX_TEXT)
numbers = st.integers(0, 1 << 63)
durations = st.floats(0, 1e6)

_WORKERS = st.lists(ids, min_size=1, max_size=3, unique=True).map(tuple)

NARROWER: dict[tuple[str, Any], st.SearchStrategy[Any]] = {
    ("agent_id", str): ids,
    ("digest", str): ids,
    ("run_id", str): ids,
    ("worker", str): ids,
    ("host", str): st.text(max_size=5) | st.just("é" * limits.MAX_HOST),
    ("version", str): st.text(max_size=5) | st.just("é" * limits.MAX_VERSION),
    ("orphan_timeout", float): st.floats(0, limits.MAX_ORPHANED),
    ("workers", int): st.integers(1, limits.MAX_WORKERS),
    ("workers", tuple[str, ...]): _WORKERS,
    ("sequence", int): st.integers(1, 1 << 63),
    ("number", int): st.integers(1, 1 << 63),
    ("bundle", bytes): st.binary(max_size=20),
    ("run_ids", tuple[str, ...]): st.lists(ids, max_size=3).map(tuple),
}

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: numbers,
    float: durations,
    bool: st.booleans(),
    Tally: tallies(),
    RunPlan: run_plans(),
}


def _value(hint: Any) -> st.SearchStrategy[Any]:
    if hint in _PLAIN:
        return _PLAIN[hint]
    if dataclasses.is_dataclass(hint):
        return built(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_value(arguments[0]), max_size=2).map(tuple)
    if origin in (Union, types.UnionType):
        return st.none() | _value(arguments[0])
    raise TypeError(f"no strategy for {hint}")


def built(cls: Any) -> st.SearchStrategy[Any]:
    """Instances of a dataclass, from the types of its fields."""
    hints = get_type_hints(cls)
    return st.builds(
        cls, **{f.name: _field(f.name, hints[f.name]) for f in dataclasses.fields(cls)}
    )


def _field(name: str, hint: Any) -> st.SearchStrategy[Any]:
    return NARROWER[name, hint] if (name, hint) in NARROWER else _value(hint)


def _rhythms(cls: Any) -> st.SearchStrategy[Any]:
    """Greetings: their timeout is longer than their heartbeat."""
    rhythm = {"heartbeat": st.floats(0.001, 100), "timeout": st.floats(100.5, 1000)}
    rest = {f.name for f in dataclasses.fields(cls)} - set(rhythm)
    hints = get_type_hints(cls)
    return st.builds(cls, **rhythm, **{name: _field(name, hints[name]) for name in rest})


_TOTALS = st.integers(0, limits.MAX_RECORDED)

WHOLE: dict[type[m.Message], st.SearchStrategy[Any]] = {
    m.Welcome: _rhythms(m.Welcome),
    m.WelcomeBack: _rhythms(m.WelcomeBack),
    m.LastWords: st.builds(m.LastWords, ids, ids, ids, _TOTALS, _TOTALS, _TOTALS),
    m.Submit: st.builds(
        m.Submit,
        numbers,
        run_plans().filter(lambda plan: plan.agents >= 1),
        ids,
        st.binary(max_size=20),
        st.none() | durations,
        st.just(()),
        st.lists(
            st.builds(m.Wish, ids, st.lists(st.tuples(texts, texts)).map(tuple)), max_size=3
        ).map(tuple),
    ),
}

BY_KIND: dict[type[m.Message], st.SearchStrategy[Any]] = {
    cls: WHOLE[cls] if cls in WHOLE else built(cls) for cls in m.ALL
}
messages = st.one_of(*BY_KIND.values())
