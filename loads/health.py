"""The test that a check of a cluster runs on every idle agent.

It goes the way of all tests, from the broker to a worker and back, and needs no target: it asks a
server of its own, on the loopback interface of the agent's box.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TARGET = f"{__name__}.test_agent"  #: the test, as a plan names it


def test_agent(session: Any) -> None:
    """One request, with the session of all tests."""
    server = _Server(("127.0.0.1", 0), _Hello)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        answer = session.get(f"http://127.0.0.1:{server.server_port}/")
        assert answer.text == _Hello.text
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing it waits for them


class _Hello(BaseHTTPRequestHandler):
    text = "hello\n"

    def do_GET(self) -> None:
        """Answer, and have the connection closed."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the worker's standard error is for what goes wrong."""
