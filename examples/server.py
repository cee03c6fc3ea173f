"""A little site to try load tests on.  It counts what it serves.

    python -m examples.server --port 9000

``GET /count`` tells how many requests were served so far, itself not included.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import signal
import socket
import sys

import gevent
from gevent.event import Event
from gevent.pywsgi import WSGIServer


class Site:
    """The site: a WSGI application, which knows how many requests it has served."""

    def __init__(self):
        self.served = 0

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/count":
            status, body = "200 OK", str(self.served)
        else:
            self.served += 1
            status, body = self.page(path, environ)
        body = body.encode()
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    def page(self, path, environ):
        """What is at a path: a status and a text."""
        if path == "/":
            return "200 OK", "hello world\n"
        if path.startswith("/users/"):
            return "200 OK", f"user {path.removeprefix('/users/')}\n"
        if path == "/echo":
            length = int(environ.get("CONTENT_LENGTH") or 0)
            return "200 OK", environ["wsgi.input"].read(length).decode()
        if path.startswith("/slow/"):
            gevent.sleep(float(path.removeprefix("/slow/")))
            return "200 OK", "at last\n"
        if path == "/broken":
            return "500 Internal Server Error", "sorry\n"
        return "404 Not Found", "there is no such page\n"


class Server(WSGIServer):
    """Sends each answer at once, instead of waiting to fill a packet (Nagle's algorithm)."""

    def handle(self, sock, address):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle(sock, address)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    port = options.parse_args().port
    server = Server(("127.0.0.1", port), Site(), log=None)
    stopped = Event()
    try:
        server.start()
    except OSError as error:
        sys.exit(f"{error.strerror}. Name another port with --port.")
    print(f"The site is at http://127.0.0.1:{server.server_port}/", flush=True)
    gevent.signal_handler(signal.SIGTERM, stopped.set)
    gevent.signal_handler(signal.SIGINT, stopped.set)
    stopped.wait()
    server.stop()


if __name__ == "__main__":
    main()
