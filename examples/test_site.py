"""A first test: functional under unittest or pytest, a load test under loads-runner.

loads-runner examples.test_site.TestSite.test_home -u 100 --hits 10
"""

from loads.case import TestCase


class TestSite(TestCase):
    server_url = "http://127.0.0.1:9000"

    def test_home(self):
        answer = self.session.get(f"{self.server_url}/")
        self.assertEqual(answer.status_code, 200)
        self.assertIn("hello", answer.text)
        self.incr_counter("greeted")

    def test_user(self):
        answer = self.session.get(f"{self.server_url}/users/42")
        self.assertEqual(answer.text, "user 42\n")
