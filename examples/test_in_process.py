"""A plain test of a WSGI application, with no server and nothing of Loads in it.

    pytest examples/test_in_process.py
    loads-runner examples.test_in_process -u 10 --hits 5

As load, it measures the application's own code: what it costs without any network.
"""

import unittest

import webtest

from examples.wsgi_shop import Shop


class TestShop(unittest.TestCase):
    def setUp(self):
        self.app = webtest.TestApp(Shop())

    def test_buy(self):
        form = self.app.get("/").form
        form["fruit"] = "plum"
        form.submit().follow().mustcontain("1-plum")
