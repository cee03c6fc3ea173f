"""Targets of load that count exactly what reaches them."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.networks import enter
from tests.e2e.stage import Process, Stage
from tests.e2e.waiting import until

_REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}


class Target:
    """A web server in a thread of the test, with one path for each way to behave.

    ``/``, ``/fast/...``  answers at once
    ``/slow/SECONDS``     answers after some time
    ``/gate``             answers when :meth:`open_gate` was called
    ``/hang``             never answers
    ``/broken``           answers 500
    ``/drop``             closes the connection instead of answering
    ``/reset``            breaks it, so that the client's system hears of a reset
    ``/cookie``           gives a client that has none a cookie of its own

    A request is counted when it has arrived, whatever becomes of it.
    """

    def __init__(self, namespace: str = "", host: str = "127.0.0.1") -> None:
        self._namespace, self._host = namespace, host
        self.counts: Counter[str] = Counter()
        self.cookies: Counter[str] = Counter()
        self.connections = 0
        self.open: set[asyncio.Transport] = set()
        self.url = ""
        self.gate = asyncio.Event()
        self.fresh = itertools.count(1)
        self._loop = asyncio.new_event_loop()

    @property
    def hits(self) -> int:
        """How many requests have arrived."""
        return sum(self.counts.copy().values())

    def open_gate(self) -> None:
        """Have all answered that wait at ``/gate``, now and later."""
        self._loop.call_soon_threadsafe(self.gate.set)

    def serve(self, started: threading.Event) -> None:
        """Serve until :meth:`stop`; for a thread."""
        if self._namespace:
            enter(self._namespace)  # this thread alone
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), self._host, 0, backlog=1024)
        )
        self.url = f"http://{self._host}:{server.sockets[0].getsockname()[1]}"
        started.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for transport in self.open:
                transport.abort()
            while self.open:  # an aborted connection ends, and its answers with it, in the loop
                self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def stop(self) -> None:
        """End :meth:`serve`."""
        self._loop.call_soon_threadsafe(self._loop.stop)


class _Connection(asyncio.Protocol):
    """One connection.  Requests have no bodies; one follows the answer to the one before."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._received = b""
        self._answering: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._target.connections += 1
        self._target.open.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._target.open.discard(self._transport)
        for task in self._answering:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            first, *headers = head.decode("latin-1").split("\r\n")
            path = first.split()[1]
            if path == "/count":
                self._answer(200, str(self._target.hits))
                continue
            self._target.counts[path] += 1
            self._serve(path, headers)

    def _serve(self, path: str, headers: list[str]) -> None:
        kind = path.split("/")[1]
        if kind in ("", "fast"):
            self._answer(200, "hello world\n")
        elif kind == "broken":
            self._answer(500, "sorry\n")
        elif kind == "drop":
            self._transport.close()
        elif kind == "reset":
            self._reset()
        elif kind == "cookie":
            self._serve_cookie(headers)
        elif kind == "slow":
            self._later(asyncio.sleep(float(path.split("/")[2])))
        elif kind == "gate":
            self._later(self._target.gate.wait())
        elif kind != "hang":
            self._answer(404, "there is no such page\n")

    def _reset(self) -> None:
        """Close without lingering: what is not sent yet is forgotten, and the peer is told so."""
        connected = self._transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _serve_cookie(self, headers: list[str]) -> None:
        sent = [line.partition(":")[2].strip() for line in headers if line.startswith("Cookie:")]
        self._target.cookies[sent[0] if sent else ""] += 1
        more = "" if sent else f"Set-Cookie: user={next(self._target.fresh)}\r\n"
        self._answer(200, "hello again\n" if sent else "hello\n", more)

    def _later(self, waiting: object) -> None:
        async def answer() -> None:
            await waiting  # type: ignore[misc]
            self._answer(200, "at last\n")

        task = asyncio.get_running_loop().create_task(answer())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def _answer(self, status: int, text: str, headers: str = "") -> None:
        self._transport.write(
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}Content-Type: text/plain\r\n"
            f"Content-Length: {len(text)}\r\n\r\n{text}".encode()
        )


@contextmanager
def serving(namespace: str = "", host: str = "127.0.0.1") -> Iterator[Target]:
    """A target that is there; in a network namespace, if one is named."""
    target, started = Target(namespace, host), threading.Event()
    thread = threading.Thread(target=target.serve, args=(started,), daemon=True)
    thread.start()
    started.wait()
    try:
        yield target
    finally:
        target.stop()
        thread.join()


class Nginx:
    """A real nginx, with one line in its log for each request."""

    def __init__(self, stage: Stage, program: str, port: int) -> None:
        self._folder = stage.root / "nginx"
        self._folder.mkdir()
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        config = self._folder / "nginx.conf"
        config.write_text(self._config(port))
        self._process: Process = stage.start(
            "nginx", program, "-p", self._folder, "-c", config, "-e", self._folder / "error.log"
        )

    def _config(self, port: int) -> str:
        temporary = "".join(
            f"{kind}_temp_path {self._folder};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return (
            "daemon off; master_process off; worker_processes 1;\n"
            f"pid {self._folder}/pid; error_log {self._folder}/error.log;\n"
            "events { worker_connections 1000; }\n"
            "http {\n"
            f"log_format one '$request_uri'; access_log {self.log} one;\n"
            f"{temporary}keepalive_requests 100000000;\n"
            f"server {{ listen 127.0.0.1:{port} backlog=1024;\n"
            'location / { return 200 "hello world\\n"; } }\n'
            "}\n"
        )

    def wait(self) -> None:
        """Wait until it listens."""
        until(self._listens, "nginx to listen")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    @property
    def log(self) -> Path:
        return self._folder / "access.log"

    def requests(self, uri: str = "/") -> int:
        """How many requests for ``uri`` it has logged."""
        return self.log.read_text().splitlines().count(uri)
