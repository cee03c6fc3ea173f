"""Six kinds of test in one file, which all runners run alike.

Where the servers are is in the environment.
"""

import os
import unittest

import requests
import webtest

from loads.case import TestCase

SITE = os.environ["SITE"]
SOCKETS = os.environ["SOCKETS"]


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello from " + environ["PATH_INFO"].encode()]


class TestLoads(TestCase):
    server_url = SITE

    def test_session(self):
        answer = self.session.get(f"{SITE}/fast/session")
        self.assertEqual(answer.text, "hello world\n")

    def test_app(self):
        self.app.get("/fast/app").mustcontain("hello", no="bye")

    def test_web_socket(self):
        got = []
        ws = self.create_ws(f"{SOCKETS}/ws", callback=lambda message: got.append(message.data))
        ws.send("hello")
        self.assertEqual(ws.receive(timeout=10).data, b"hello")
        ws.close()
        self.assertEqual(got, [b"hello"])
        self.incr_counter("greeted")


class TestPlain(unittest.TestCase):
    def setUp(self):
        self.http = requests.Session()
        self.addCleanup(self.http.close)

    def test_requests(self):
        self.assertTrue(self.http.get(f"{SITE}/fast/unittest").ok)

    def test_that_fails(self):
        self.assertEqual(self.http.get(f"{SITE}/broken").status_code, 200)


def test_function():
    assert requests.get(f"{SITE}/fast/function").ok


def test_in_process():
    webtest.TestApp(application).get("/cart").mustcontain("hello from /cart")
