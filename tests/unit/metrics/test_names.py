"""Names of series as they travel: JSON that is compressed where that is worth it."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.metrics import columns
from loads.metrics.columns import Names
from loads.metrics.packing import LONG, SHORT, names_in, written_names
from tests.unit.strategies import quick

FORTY = [["hit", "GET", [f"http://a/{n}" for n in range(40)]]]
#: As zlib 1.3 writes it; others may write other bytes, and all can be read.
FORTY_COMPRESSED = bytes.fromhex(
    "780155ce2b0e02411804e1bb8cde64e86e5e8b275c00b71981038798fb8755e42f59a5be6d6befcf6c4b7bdc9f6dd963ce"
    "efadf7573fecef1faae11aa971ac71aa71ae71a971adb1d6100930080841213004870011240245b01816c362580c8b6131"
    "2c86c5b01816c31258024b60092c8125b00496c01258b2b631c60f421b98d2"
)

groups = st.lists(
    st.tuples(st.text(max_size=4), st.text(max_size=4), st.lists(st.text(), unique=True)),
    unique_by=lambda group: group[:2],
    max_size=4,
)


def text_of(size: int) -> bytes:
    """The JSON of names, of so many bytes."""
    frame = len(written_names([["hit", "GET", [""]]]))
    return json.dumps([["hit", "GET", ["x" * (size - frame)]]], separators=(",", ":")).encode()


@quick
@given(groups, st.integers(1, 40))
def test_what_is_written_can_be_read(some, times):
    """Of any length, which is what decides whether it is compressed."""
    some = [(kind, method, [n * times for n in names]) for kind, method, names in some]
    some = [(kind, method, list(dict.fromkeys(names))) for kind, method, names in some]
    written = written_names(some)
    read = Names.read(written)
    assert read.groups == tuple((k, m, tuple(names)) for k, m, names in some)
    assert read.written == written
    assert Names.read(written) is read


def test_what_another_library_compressed_can_be_read():
    assert json.loads(names_in(FORTY_COMPRESSED)) == FORTY
    assert Names.read(FORTY_COMPRESSED).written == written_names(FORTY)
    assert len(written_names(FORTY)) < 200


@pytest.mark.parametrize(("size", "is_compressed"), [(SHORT, False), (SHORT + 1, True)])
def test_short_names_are_written_as_they_are(size, is_compressed):
    text = text_of(size)
    assert len(text) == size
    assert (written_names(json.loads(text)) != text) == is_compressed


def test_names_that_are_too_long_are_not_compressed():
    text = text_of(LONG + 1)
    assert written_names(json.loads(text)) == text
    assert Names.read(text).rows == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"x\x01",
        FORTY_COMPRESSED[:-1],
        FORTY_COMPRESSED + b"x",
        zlib.compress(b'{"a": 1}'),
        zlib.compress(b"[["),
        zlib.compress(text_of(LONG + 1)),
        zlib.compress(zlib.compress(text_of(100))),
    ],
    ids=["empty", "no list", "garbage", "cut off", "with more", "no names", "no JSON", "too long",
         "twice"],
)  # fmt: skip
def test_what_is_no_names_is_refused(data):
    with pytest.raises(ValueError):
        Names.read(data)
    assert data not in columns._known


def test_only_so_many_lists_are_remembered_and_only_short_ones():
    for number in range(2 * columns._REMEMBERED):
        Names.read(written_names([["hit", "GET", [f"http://host/{number}"]]]))
    assert len(columns._known) == columns._REMEMBERED
    large = written_names([["hit", "GET", ["x" * columns._CACHED]]])
    assert len(large) < 1_000 < Names.read(large).rows + columns._CACHED
    assert large not in columns._known
