"""The target of all HTTP benchmarks: nginx with one worker, which counts."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.program import BenchmarkError, Program

_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


class Counts(NamedTuple):
    """What nginx has counted: ``requests`` answered, ours left out; connections ``open`` now."""

    requests: int
    open: int


class Target:
    """One nginx.

    ``url`` keeps connections, ``closing_url`` closes each after its answer, ``tls_url`` has the
    certificate that the file ``certificate`` holds.  All have ``/``, 12 bytes, and ``/10k``, 10 KB.
    """

    def __init__(self, folder: Path, cores: Set[int] = frozenset()) -> None:
        program = find("nginx")
        if program is None:
            raise BenchmarkError("There is no nginx here: apt-get install nginx-light")
        plain, closing, tls = _free_ports(3)
        self.url = f"http://127.0.0.1:{plain}"
        self.closing_url = f"http://127.0.0.1:{closing}"
        self.tls_url = f"https://127.0.0.1:{tls}"
        self.certificate = folder / "certificate.pem"
        _make_certificate(folder)
        (folder / "10k").write_bytes(b"0123456789abcdef" * 640)
        config = folder / "nginx.conf"
        config.write_text(_config(folder, plain, closing, tls))
        args = [program, "-p", folder, "-c", config, "-e", folder / "error.log"]
        self._program = Program(args, folder / "nginx.out", cores=cores)
        self._polls = 0
        self._status = http.client.HTTPConnection("127.0.0.1", plain, timeout=10)
        try:
            self._program.until(lambda: _listens(plain), "nginx to listen")
        except BaseException:
            self._program.kill()
            raise

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self._status.close()
        self._program.kill()

    @property
    def pid(self) -> int:
        """The process that does the work."""
        return self._program.pid

    def counts(self) -> Counts:
        """What it has counted so far."""
        self._status.request("GET", "/status")
        lines = self._status.getresponse().read().decode().splitlines()
        self._polls += 1
        # "Active connections: 2", two lines of words and totals, of which the third is requests
        return Counts(int(lines[2].split()[2]) - self._polls, int(lines[0].split()[-1]) - 1)


def find(name: str, folder: Path | None = None) -> str | None:
    """Where a program is: in ``folder``, on the path, or where Debian keeps servers."""
    here = folder / name if folder else None
    if here and here.exists():
        return str(here)
    return shutil.which(name) or shutil.which(name, path=_PATH)


def _config(folder: Path, plain: int, closing: int, tls: int) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    pages = f"""
        default_type text/plain;
        location = / {{ return 200 "hello world\\n"; }}
        location = /10k {{ root {folder}; }}
    """
    return f"""
        daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 19000;
        pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 18000; multi_accept on; }}
        http {{
            {temporary}
            access_log off; tcp_nodelay on; sendfile on;
            keepalive_requests 1000000000; keepalive_timeout 1h;
            open_file_cache max=10; open_file_cache_valid 1h;
            server {{
                listen 127.0.0.1:{plain} backlog=16384;
                location = /status {{ stub_status; }}
                {pages}
            }}
            server {{
                listen 127.0.0.1:{closing} backlog=16384;
                keepalive_timeout 0;
                {pages}
            }}
            server {{
                listen 127.0.0.1:{tls} ssl backlog=16384;
                ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
                {pages}
            }}
        }}
    """


def _make_certificate(folder: Path) -> None:
    program = find("openssl")
    if program is None:
        raise BenchmarkError("There is no openssl here: apt-get install openssl")
    subprocess.run(
        [
            *(program, "req", "-x509", "-nodes", "-days", "2"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has; held together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
