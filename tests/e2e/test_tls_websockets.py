"""Web sockets over TLS, against a real server with a certificate of the test's own."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import find_program
from tests.e2e.cluster import Cluster, run
from tests.e2e.stage import Stage
from tests.e2e.waiting import until

pytestmark = pytest.mark.needs("openssl")
REPOSITORY = Path(__file__).parents[2]

TEST = """
    import os, ssl
    from loads.case import TestCase
    from loads.clients.websocket import WebSocketClient

    class Verified(WebSocketClient):
        def __init__(self, url, protocols=None, extensions=None):
            options = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": os.environ["CERTIFICATES"]}
            super().__init__(url, protocols, extensions, ssl_options=options)

    class TestSockets(TestCase):
        def talk(self, klass):
            ws = self.create_ws(self.server_url + "/ws", klass=klass)
            for text in ("hello", "x" * 100_000):
                ws.send(text)
                assert ws.receive().data.decode() == text

        def test_any(self):
            self.talk(None)

        def test_verified(self):
            self.talk(Verified)
"""


def certificate(folder: Path, name: str) -> Path:
    """A certificate for this machine that nobody else has signed, with its key in the same file."""
    key, cert = folder / f"{name}.key", folder / f"{name}.crt"
    command = [
        *(find_program("openssl") or "", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
        *("-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}"),
        *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / f"{name}.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return both


class Server:
    """The server of the examples, behind TLS."""

    def __init__(self, stage: Stage) -> None:
        self.pem = certificate(stage.root, "server")
        self.other = certificate(stage.root, "other")
        process = stage.start(
            "sockets", "python", "-m", "examples.ws_server", "--port", 0,
            "--certificate", self.pem, cwd=REPOSITORY,
        )  # fmt: skip
        self._url = process.says("The site is at ").split()[-1].rstrip("/")
        self.url = self._url.replace("https:", "wss:")
        stage.write("test_sockets.py", TEST)

    @property
    def counts(self) -> dict[str, int]:
        trust = ssl.create_default_context(cafile=str(self.pem))
        with urllib.request.urlopen(f"{self._url}/count", context=trust) as answer:
            counts: dict[str, int] = json.load(answer)
            return counts


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_sockets_over_tls_are_counted_as_others(stage: Stage, agents: int) -> None:
    """With ws4py's own manners, which take any certificate, and with a client that looks at it."""
    server = Server(stage)
    options = (
        *("test_sockets", "-u", 5, "--hits", 4, "--server-url", server.url),
        *("--env", f"CERTIFICATES={server.pem}"),
    )
    result = Cluster(stage).run(*options) if agents else run(stage, *options)
    assert result.code == 0, result.out
    sockets = result.summary["websockets"]
    assert (sockets["opened"], sockets["closed"], sockets["failed"]) == (20, 20, 0)
    assert sockets["messages_sent"] == sockets["messages_received"] == 40
    until(lambda: server.counts["closed"] == 20, "the end of all sockets")
    assert server.counts["opened"] == 20
    assert server.counts["messages"] == 40


def test_a_certificate_that_is_not_trusted_is_a_failed_connection(stage: Stage) -> None:
    server = Server(stage)
    options = (
        *("test_sockets.TestSockets.test_verified", "-u", 3, "--hits", 2),
        *("--server-url", server.url, "--env", f"CERTIFICATES={server.other}"),
    )
    result = run(stage, *options)
    assert result.code == 1
    assert result.tests["errors"] == 6
    assert result.summary["websockets"]["failed"] == 6
    assert server.counts["opened"] == result.summary["websockets"]["opened"] == 0
    (failure,) = result.summary["failures"]
    assert failure["type"] == "SSLCertVerificationError"


def test_a_certificate_that_is_not_trusted_is_told_from_other_failures(stage: Stage) -> None:
    """Of hits too, whether they go over our connections or through Requests itself."""
    server = Server(stage)
    stage.write(
        "test_pages.py",
        """
        import os
        import requests
        from loads.case import TestCase

        class TestPages(TestCase):
            def test_session(self):
                self.session.get(self.server_url + "/a", verify=os.environ["CERTIFICATES"])

            def test_stream(self):
                with self.session.get(self.server_url + "/b", stream=True):
                    pass

            def test_plain(self):
                requests.get(self.server_url + "/c", verify=os.environ["CERTIFICATES"])
        """,
    )
    options = ("-u", 2, "--hits", 3, "--server-url", server.url.replace("wss:", "https:"))
    result = run(stage, "test_pages", *options, "--env", f"CERTIFICATES={server.other}")
    assert result.code == 1
    assert result.tests["errors"] == 6
    assert [(url["hits"], url["status"]) for url in result.summary["urls"]] == [
        (2, {"tls": 2}) for _ in "abc"
    ]
    assert {failure["type"] for failure in result.summary["failures"]} == {"SSLError"}


def test_a_silent_peer_is_given_up(stage: Stage) -> None:
    """It takes the connection and never says a word; a client may set another time than 30 s."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        stage.write(
            "test_silent.py",
            """
            from loads.case import TestCase
            from loads.clients import websocket_meter

            assert websocket_meter.CONNECT_TIME == 30
            websocket_meter.CONNECT_TIME = 0.3

            class TestSilent(TestCase):
                def test_it(self):
                    self.create_ws(self.server_url)
            """,
        )
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/ws"
        result = run(stage, "test_silent", "-u", 2, "--server-url", url)
    assert result.tests["errors"] == 2
    assert result.summary["websockets"]["failed"] == 2
    (failure,) = result.summary["failures"]
    assert failure["type"] in ("TimeoutError", "timeout")
