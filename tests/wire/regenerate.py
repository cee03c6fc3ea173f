"""Write the golden bytes anew: ``python -m tests.wire.regenerate``, from the checkout's root.

For a version of the protocol that was released this must never be done: agents, brokers and
clients out there speak those bytes.  A change that makes ``test_golden.py`` fail then needs a new
``VERSION`` in ``loads/protocol/codec.py``, and with it a new directory beside the old one.
Only three things need no new version: a new kind, for which a file is added; a new field with
a default; and examples that say more.  For the last two, check in the diff that nothing else moved.
"""

from __future__ import annotations

from loads.protocol.codec import encode
from tests.wire.examples import EXAMPLES
from tests.wire.golden import DIRECTORY, dump, path_of


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    for kind, message in EXAMPLES.items():
        path_of(kind).write_text(dump(encode(message)), encoding="ascii")
    print(f"Wrote {len(EXAMPLES)} files in {DIRECTORY}.")


if __name__ == "__main__":
    main()
