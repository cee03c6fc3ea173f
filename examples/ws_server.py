"""A little site with web sockets to try load tests on, and plain HTTP on the same port.

    python -m examples.ws_server --port 9000

``/ws`` sends every message back, ``/ws/silent`` never sends any, ``/ws/close`` closes with code
1001 after the first, ``/`` says hello.  ``GET /count`` tells, as JSON, what was counted so far:
plain requests (itself not included), web sockets opened and closed, and messages and payload bytes
that arrived.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import json
import signal
import sys

import gevent
from gevent.event import Event
from ws4py.server.geventserver import WSGIServer
from ws4py.server.wsgiutils import WebSocketWSGIApplication
from ws4py.websocket import WebSocket

try:  # C code for masks and UTF-8, which in ws4py's own Python take a second for a megabyte
    from wsaccel import patch_ws4py
except ImportError:
    pass
else:
    patch_ws4py()

count = {"hits": 0, "opened": 0, "closed": 0, "messages": 0, "bytes": 0}


class Counting(WebSocket):
    """Counts, and never says anything."""

    def opened(self):
        count["opened"] += 1

    def closed(self, code, reason=None):
        count["closed"] += 1

    def received_message(self, message):
        count["messages"] += 1
        count["bytes"] += len(message.data)

    def unhandled_error(self, error):
        """A client that just goes away is no news."""


class Echo(Counting):
    """Sends back what it gets."""

    def received_message(self, message):
        super().received_message(message)
        self.send(message.data, message.is_binary)


class Leaving(Counting):
    """Says goodbye to whoever says something."""

    def received_message(self, message):
        super().received_message(message)
        self.close(1001, "going away")


SOCKETS = {
    "/ws": WebSocketWSGIApplication(handler_cls=Echo),
    "/ws/silent": WebSocketWSGIApplication(handler_cls=Counting),
    "/ws/close": WebSocketWSGIApplication(handler_cls=Leaving),
}


def site(environ, start_response):
    """A WSGI application: web sockets where they are asked for, else pages."""
    path = environ["PATH_INFO"]
    if path in SOCKETS and "HTTP_UPGRADE" in environ:
        return SOCKETS[path](environ, start_response)
    if path == "/count":
        status, body = "200 OK", json.dumps(count)
    else:
        count["hits"] += 1
        status, body = "404 Not Found", "there is no such page\n"
        if path == "/":
            status, body = "200 OK", "hello world\n"
        elif path in SOCKETS:
            status, body = "426 Upgrade Required", "this is a web socket\n"
    body = body.encode()
    kind = "application/json" if path == "/count" else "text/plain"
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    options.add_argument("--certificate", metavar="PEM", help="speak TLS with it and its key")
    given = options.parse_args()
    pem = given.certificate
    tls = {"certfile": pem, "keyfile": pem} if pem else {}
    server = WSGIServer(("127.0.0.1", given.port), site, log=None, backlog=1024, **tls)
    stopped = Event()
    try:
        server.start()
    except OSError as error:
        sys.exit(f"{error.strerror}. Name another port with --port.")
    print(f"The site is at http{'s' if pem else ''}://127.0.0.1:{server.server_port}/", flush=True)
    gevent.signal_handler(signal.SIGTERM, stopped.set)
    gevent.signal_handler(signal.SIGINT, stopped.set)
    stopped.wait()
    server.stop(timeout=0)


if __name__ == "__main__":
    main()
