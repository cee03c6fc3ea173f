"""Connections of our own, in a process that gevent has patched."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.clients.raw_server import serving

LET_GO = """
from gevent import monkey; monkey.patch_all()
import gc, os, sys
from loads.clients import session
session.measure(fast=True)
gc.disable()
def users(number):
    for _ in range(number):
        for path in ("/any", "/chunked", "/any"):
            session.Session().get(sys.argv[1] + path)
users(1)  # whatever is opened once
before = len(os.listdir("/proc/self/fd"))
users(5)
print(len(os.listdir("/proc/self/fd")) - before)
"""


def test_a_session_that_nobody_closes_takes_its_connections_along() -> None:
    """At once: who waits for the collector of garbage runs out of descriptors first."""
    with serving() as server:
        done = subprocess.run(
            [sys.executable, "-c", LET_GO, server.url], capture_output=True, text=True, check=False
        )
    assert (done.stdout, done.stderr) == ("0\n", "")
