"""WebTest against a real server: pages, links, forms, redirects, cookies and JSON.

    python -m examples.wsgi_shop --port 9000
    loads-runner examples.test_webtest -u 10 --hits 5

``self.app`` is a ``webtest.TestApp`` of this user's own, and what it answers are WebTest's
responses: see https://docs.pylonsproject.org/projects/webtest/ for all that they can do.
"""

from loads import TestCase


class TestFruitShop(TestCase):
    server_url = "http://127.0.0.1:9000"

    def test_look_around(self):
        # Any status but 2xx and 3xx fails the test, unless it is the one that is expected.
        home = self.app.get("/")
        home.mustcontain("fruit shop", "Buy", no="sold out")
        home.click("our apples").mustcontain("30 cents")
        self.app.get("/fruits/stone", status=404)

    def test_buy(self):
        form = self.app.get("/").form
        form["fruit"] = "pear"
        form["number"] = "3"
        bought = form.submit("buy")

        # WebTest does not follow redirects by itself.  Each request is a hit.
        self.assertEqual(bought.status_int, 303)
        bought.follow().mustcontain("3-pear")
        self.assertEqual(self.app.cookies, {"cart": "3-pear"})

    def test_price(self):
        answer = self.app.post_json("/api/price", {"apple": 2, "plum": 4})
        self.assertEqual(answer.json, {"total": 120})
        self.incr_counter("fruits", 6)
