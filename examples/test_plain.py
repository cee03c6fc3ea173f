"""Tests with nothing of Loads in them.

python -m examples.server --port 9000
loads-runner examples.test_plain -u 10 --hits 5
loads-runner examples/test_plain.py::TestShop::test_cart -u 10 --hits 5
"""

import os
import unittest

import requests

SITE = os.environ.get("SITE", "http://127.0.0.1:9000")  # --env SITE=http://... says otherwise


class TestShop(unittest.TestCase):
    def setUp(self):
        self.http = requests.Session()
        self.addCleanup(self.http.close)

    def test_cart(self):
        assert self.http.get(f"{SITE}/users/7").text == "user 7\n"
        assert self.http.post(f"{SITE}/echo", data="one apple").text == "one apple"


def test_home():
    assert requests.get(f"{SITE}/").ok
