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


BELIEVED = """
from gevent import monkey; monkey.patch_all()
import select, socket
from time import monotonic
from loads.clients import http
from loads.clients.connect import origin

listener = socket.create_server(("127.0.0.1", 0))
to = origin("http", "127.0.0.1", listener.getsockname()[1])

def connected():
    connection = http.Connection(to, 5)
    return connection, listener.accept()[0]

def end(connection, server):
    server.close()
    poll = monkey.get_original("select", "poll")()
    poll.register(connection._socket.fileno(), select.POLLRDHUP)
    assert poll.poll(5_000)
    connection.ended_at = monotonic()

connection, server = connected()
connection.ended_at = now = monotonic()
print(connection.is_usable(now), connection.is_usable(now), to.kept)
print(connection.is_usable(now + 1), to.kept)
end(connection, server)
print(connection.is_usable(connection.ended_at), to.kept == http.NEVER)

to.kept = http.ENOUGH + 1
connection, server = connected()
end(connection, server)
print(connection.is_usable(connection.ended_at), connection.is_usable(connection.ended_at + 1))
connection.sent_at = connection.ended_at
connection.give_up(True)
connection, server = connected()
end(connection, server)
print(to.kept == http.NEVER, connection.is_usable(connection.ended_at))
"""


def test_a_server_that_leaves_connections_open_is_believed_until_it_does_not() -> None:
    """Only for an instant after an answer; else the kernel is asked."""
    done = subprocess.run(
        [sys.executable, "-c", BELIEVED], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "True True 2",
        "True 2",
        "False True",
        "True False",
        "True False",
    ]
