"""The wire format is what it was: fixed messages, byte for byte.

When a test here fails, either the change was not meant, or the protocol has a new version; see
``regenerate.py``.
"""

from __future__ import annotations

import pytest

from loads.protocol.codec import decode, encode
from loads.protocol.messages import ALL
from tests.wire.examples import EXAMPLES
from tests.wire.golden import DIRECTORY, dump, load, path_of

KINDS = [pytest.param(kind, id=kind.__name__) for kind in ALL]


def test_every_kind_has_an_example_and_a_file():
    assert set(EXAMPLES) == set(ALL)
    assert sorted(DIRECTORY.iterdir()) == sorted(path_of(kind) for kind in ALL)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_gives_these_bytes(kind):
    assert dump(encode(EXAMPLES[kind])) == path_of(kind).read_text(encoding="ascii")


@pytest.mark.parametrize("kind", KINDS)
def test_these_bytes_give_the_message(kind):
    assert decode(load(path_of(kind).read_text(encoding="ascii"))) == EXAMPLES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_no_example_leaves_a_default_untold(kind):
    """An example whose fields all had their defaults would not notice a field that is lost."""
    message = EXAMPLES[kind]
    required = {f: getattr(message, f) for f in vars(message) if not hasattr(kind, f)}
    if len(required) < len(vars(message)):
        assert message != kind(**required)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([b""], id="an empty frame"),
        pytest.param([bytes(range(256)), b"", b"x" * 17], id="every byte"),
    ],
)
def test_the_text_form_is_exact(frames):
    assert load(dump(frames)) == frames
