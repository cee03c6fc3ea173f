# ruff: noqa: I001, UP004, UP005, UP008 - as it was written for Loads 1

import os
import random

from loads.case import TestCase

from v1.signing import Api, Signed

SOCKETS = os.environ.get("SOCKETS", "")


class Helpers(object):
    def visit(self, name):
        res = self.session.get(self.server_url + "/fast/" + name)
        self.assertEquals(res.status_code, 200)
        self.incr_counter(res.status_code)
        return res


class TestWebSite(Helpers, TestCase):
    server_url = "http://localhost:1"

    def __init__(self, *args, **kwargs):
        super(TestWebSite, self).__init__(*args, **kwargs)
        self.api = Api(self.server_url, self.session)
        res = self.session.get(self.server_url + "/cookie")
        self.assertIn("user", res.cookies)

    def setUp(self):
        self.key = os.environ["SECRET"].encode("utf8")

    def simple(self):
        self.visit("simple")
        self.assert_(random.random() < 1)

    def _hidden(self):
        self.visit("hidden")

    def test_api(self):
        res = self.api.get("/fast/api", auth=Signed(self.key), headers={"X-Token": "a"})
        self.assertEquals(res.content, b"hello world\n")
        self.assertNotEquals(res.status_code, 404)
        self.assertItemsEqual([1, 2], [2, 1])
        self.failUnless(res.ok)
        self.incr_counter(404)

    def test_environment(self):
        self.assertEquals(os.environ["SECRET"], "sesame")
        self.assertEquals(os.environ["GIVEN"], "a=b c")
        self.assertEquals(os.getenv("NOT_GIVEN"), None)
        self.visit("environment")

    def test_websocket(self):
        results = []

        def callback(m):
            results.append(m.data)

        ws = self.create_ws(SOCKETS + "/ws", callback=callback, protocols=["chat", "http-only"])
        ws.send("something")
        ws.receive()
        ws.send("happened")
        ws.receive()
        self.assertTrue(ws.sock is not None)
        ws.close()
        ws._th.join()
        self.assertEquals([r.decode("utf8") for r in results], ["something", "happened"])

    def test_app(self):
        self.app.server_url = self.server_url
        res = self.app.get("/fast/app")
        self.assertEquals(res.status_int, 200)
        self.assertTrue("hello" in res.body.decode("utf8"))


class TestAgain(TestWebSite):
    """Inherits all of it."""

    def test_again(self):
        self._hidden()
