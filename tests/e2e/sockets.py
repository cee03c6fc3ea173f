"""A server of web sockets that counts: the one of our examples."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from tests.e2e.stage import Stage

REPOSITORY = Path(__file__).parents[2]


class SocketServer:
    """The server, in a process of its own."""

    def __init__(self, stage: Stage) -> None:
        args = ("python", "-m", "examples.ws_server", "--port", 0)
        process = stage.start("sockets", *args, cwd=REPOSITORY)
        self._url = process.says("The site is at ").split()[-1].rstrip("/")
        self.url = self._url.replace("http:", "ws:")

    @property
    def counts(self) -> dict[str, int]:
        """What it has counted: sockets ``opened`` and ``closed``, ``messages``, ``bytes``."""
        with urllib.request.urlopen(f"{self._url}/count") as answer:
            counts: dict[str, int] = json.load(answer)
            return counts
