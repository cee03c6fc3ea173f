"""Web sockets: wait for messages, or have them delivered, or bring a client class of your own.

    python -m examples.ws_server --port 9000
    loads-runner examples.test_websocket -u 20 --hits 5 --server-url http://127.0.0.1:9000

Every socket is closed when its test ends.  The summary counts sockets, messages and bytes, and
tells how long connecting took, and how long each message waited for its answer.
"""

from ws4py.client.threadedclient import WebSocketClient

from loads.case import TestCase


class TestChat(TestCase):
    server_url = "http://127.0.0.1:9000"

    def url(self, path):
        return self.server_url.replace("http", "ws", 1) + path

    def test_ask_and_answer(self):
        """The simplest way: say something, then wait for what comes."""
        ws = self.create_ws(self.url("/ws"))
        ws.send("hello")
        self.assertEqual(str(ws.receive(timeout=10)), "hello")
        ws.send(b"\x00\xff", binary=True)
        self.assertEqual(ws.receive(timeout=10).data, b"\x00\xff")

    def test_callback(self):
        """A callback sees each message as it arrives.  What it raises fails the test."""
        heard = []

        def hear(message):
            self.assertTrue(message.is_text)
            heard.append(str(message))

        ws = self.create_ws(self.url("/ws"), callback=hear)
        for word in ("one", "two", "three"):
            ws.send(word)
        for _ in range(3):
            ws.receive(timeout=10)
        self.assertEqual(heard, ["one", "two", "three"])
        self.incr_counter("heard", len(heard))

    def test_the_server_leaves(self):
        """There is nothing more to receive once the server has closed."""
        ws = self.create_ws(self.url("/ws/close"))
        ws.send("bye")
        self.assertIsNone(ws.receive(timeout=10))

    def test_own_client(self):
        """A class of ws4py's, with its own hooks."""
        ws = self.create_ws(self.url("/ws"), klass=Greeter)
        self.assertEqual(str(ws.receive(timeout=10)), "good morning")

    def test_plain_ws4py(self):
        """ws4py as it is, without anything of Loads, is measured as well."""
        ws = Greeter(self.url("/ws"))
        ws.connect()
        ws._th.join()
        self.assertEqual(ws.heard, ["good morning"])


class Greeter(WebSocketClient):
    """Says good morning, and leaves when the answer is there."""

    def opened(self):
        self.heard = []
        self.send("good morning")

    def received_message(self, message):
        self.heard.append(str(message))
        self.close()
