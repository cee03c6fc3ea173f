"""What a process says last is delivered before it ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from loads.protocol import messages as m
from loads.transport.sockets import Router

PROGRAM = """
import sys

from loads.protocol import messages as m
from loads.transport.sockets import Dealer, deliver_and_end

dealer = Dealer(m.TO_AGENT)
dealer.connect(sys.argv[1])
dealer.send(m.Bye("it was asked to"))
dealer.close()
print("closed", flush=True)
deliver_and_end()
"""


def test_what_is_said_last_waits_for_its_broker_and_its_process_for_that() -> None:
    """Without waiting, this process would have ended long before there is anybody to hear it."""
    with tempfile.TemporaryDirectory() as folder:  # private, and with a short name
        endpoint = f"ipc://{Path(folder, 'backend')}"
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, endpoint], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "closed\n"
            router = Router(m.FROM_AGENT)
            try:
                router.bind(endpoint)
                assert router.wait(10)
                (received,) = router.receive()
            finally:
                router.close()
        assert received.message == m.Bye("it was asked to")
        assert process.returncode == 0
