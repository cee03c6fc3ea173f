"""A tiny shop: a WSGI application to test in process, or to serve.

    python -m examples.wsgi_shop --port 9000

``GET /count`` tells how many requests were answered so far, itself not included.
"""

import argparse
import html
import json
import signal
import socket
import sys
from http import HTTPStatus
from urllib.parse import parse_qs

import gevent
from gevent.pywsgi import WSGIServer

FRUITS = {"apple": 30, "pear": 40, "plum": 15}

HOME = """
<h1>The fruit shop</h1>
<p><a href="/fruits/apple">About our apples</a></p>
<form action="/cart" method="post">
  <select name="fruit"><option>apple</option><option>pear</option><option>plum</option></select>
  <input name="number" value="1">
  <input type="submit" name="buy" value="Buy">
</form>
"""


class Shop:
    """The shop.  What a customer has in the cart, the customer's cookie says."""

    def __init__(self):
        self.served = 0

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/count":
            status, headers, body = 200, {}, str(self.served)
        else:
            self.served += 1
            status, headers, body = self.answer(environ)
        body = body.encode()
        headers = {"Content-Type": "text/html; charset=utf-8", **headers}
        headers["Content-Length"] = str(len(body))
        start_response(f"{status} {HTTPStatus(status).phrase}", list(headers.items()))
        return [body]

    def answer(self, environ):
        """What a request gets: a status, headers and a text."""
        match environ["REQUEST_METHOD"], environ["PATH_INFO"].split("/")[1:]:
            case "GET", [""]:
                return 200, {}, HOME
            case "GET", ["fruits", name] if name in FRUITS:
                return 200, {}, f"<p>One {name} is {FRUITS[name]} cents.</p>"
            case "POST", ["cart"]:
                form = parse_qs(body_of(environ))
                cart = f"{form['number'][0]} {form['fruit'][0]}".replace(" ", "-")
                return 303, {"Location": "/cart", "Set-Cookie": f"cart={cart}; Path=/"}, ""
            case "GET", ["cart"]:
                _, _, cart = environ.get("HTTP_COOKIE", "").partition("cart=")
                return 200, {}, f"<p>Your cart: {html.escape(cart or 'empty')}</p>"
            case "POST", ["api", "price"]:
                order = json.loads(body_of(environ))
                total = sum(FRUITS[name] * number for name, number in order.items())
                return 200, {"Content-Type": "application/json"}, json.dumps({"total": total})
        return 404, {}, "<p>We do not have that.</p>"


def body_of(environ):
    """The text in the body of a request."""
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    port = options.parse_args().port
    server = WSGIServer(("127.0.0.1", port), Shop(), log=None)
    try:
        server.start()
    except OSError as error:
        sys.exit(f"{error.strerror}. Name another port with --port.")
    # headers and body go out separately, and must not wait 40 ms for each other (Nagle's algorithm)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(f"The shop is at http://127.0.0.1:{server.server_port}/", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, server.stop)
    server.serve_forever()


if __name__ == "__main__":
    main()
