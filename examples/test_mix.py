"""Several tests in one class, some chosen more often than others.

    loads-runner examples.test_mix.TestShop -u 10 --hits 8

Out of eight calls, five look at the home page, two at a user, and one buys something.
"""

from loads import TestCase, weight


class TestShop(TestCase):
    server_url = "http://127.0.0.1:9000"

    @weight(5)
    def test_browse(self):
        self.assertTrue(self.session.get(f"{self.server_url}/").ok)

    @weight(2)
    def test_look_at_a_user(self):
        self.assertTrue(self.session.get(f"{self.server_url}/users/7").ok)

    def test_buy(self):
        answer = self.session.post(f"{self.server_url}/echo", data="one apple")
        self.assertEqual(answer.text, "one apple")
        self.incr_counter("apples")
