"""What is logged: one line for one thing, whatever peers call themselves."""

from __future__ import annotations

import logging

from loads.cli.logs import set_up_logging


def test_a_name_from_a_peer_can_neither_add_a_line_nor_act_on_a_terminal(tmp_path):
    set_up_logging(False, str(tmp_path / "log"))
    log = logging.getLogger("loads.broker")
    try:
        log.info("Agent %s registered", "box\x1b[2J\n2026-01-01 INFO loads.broker: forged")
        try:
            raise ValueError("a bug\x1b[2J")
        except ValueError:
            log.exception("It went wrong")
    finally:
        (handler,) = logging.getLogger("loads").handlers
        logging.getLogger("loads").removeHandler(handler)
        handler.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].endswith(r"Agent box\x1b[2J\n2026-01-01 INFO loads.broker: forged registered")
    assert lines[1].endswith("It went wrong")
    assert lines[2].startswith("Traceback")  # ours, and readable
    assert lines[-1] == r"ValueError: a bug\x1b[2J"
