"""The generators that are compared, each with a script written to be fast in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.cases import BODY, Call, Case

DEBIAN = "apt-get install {0}"
PYPI = "pip install 'loads[bench]'"


@dataclass(frozen=True)
class Job:
    """What a generator is to do, ``seconds`` long; its files go to ``folder``.

    ``program`` is where its program is.
    """

    case: Case
    url: str
    seconds: float
    folder: Path
    program: str

    def write(self, name: str, text: str) -> Path:
        """Write a script."""
        path = self.folder / name
        path.write_text(text)
        return path

    @property
    def summary(self) -> Path:
        """Where Loads writes what it counted."""
        return self.folder / "summary.json"


@dataclass(frozen=True)
class Peer:
    """A generator.  Unless it is ``common``, it runs in the first case only, if not asked for.

    ``version`` are the arguments that have the program print its version; ``single`` generators
    can make one kind of request only.
    """

    name: str
    program: str
    install: str
    command: Callable[[Job], list[object]]
    version: tuple[str, ...] = ("--version",)
    common: bool = True
    single: bool = False

    def can(self, case: Case) -> bool:
        """Whether a case can be written in it."""
        return not self.single or len(case.calls) == 1

    @property
    def is_ours(self) -> bool:
        """Whether this is Loads in one of its forms."""
        return self.program == "loads-runner"


# -- Loads -----------------------------------------------------------------------------------------

_LOADS = """
from loads.case import TestCase

BODY = {body}

class TestBench(TestCase):
    def test_it(self):
{lines}
"""

_PLAIN = """
import unittest
import requests

BODY = {body}

class TestBench(unittest.TestCase):
    http = None

    def setUp(self):
        if self.http is None:  # once for each user, who has an instance of the class
            self.http = requests.Session()

    def test_it(self):
{lines}
"""


def _loads(job: Job) -> list[object]:
    lines = [f"self.assertEqual({call}.status_code, 200)" for call in _calls(job, "self.session")]
    return _run_loads(job, _LOADS, lines)


def _plain(job: Job) -> list[object]:
    lines = [f"self.assertEqual({call}.status_code, 200)" for call in _calls(job, "self.http")]
    return _run_loads(job, _PLAIN, lines)


def _run_loads(job: Job, text: str, lines: list[str]) -> list[object]:
    job.write("test_bench.py", text.format(body=BODY, lines=_indented(lines, 8)))
    outputs = ("--output", "console", "--output", "json", "--output-json-filename", job.summary)
    users = ("--users", job.case.users, "--duration", job.seconds)
    return [job.program, "test_bench.TestBench.test_it", *users, *outputs]


# -- other generators in Python --------------------------------------------------------------------

_LOCUST = """
import os
from locust import FastHttpUser, HttpUser, task

BODY = {body}

class Visitor({kind}):
    def on_start(self):
        self.client.verify = os.environ["SSL_CERT_FILE"]  # HttpUser looks at no environment

    @task
    def visit(self):
{lines}
"""


def _locust(kind: str) -> Callable[[Job], list[object]]:
    def command(job: Job) -> list[object]:
        lines = _calls(job, "self.client", url="")
        if job.case.checked:
            lines = [f"assert {line}.status_code == 200" for line in lines]
        text = _LOCUST.format(kind=kind, body=BODY, lines=_indented(lines, 8))
        users = ("--users", job.case.users, "--spawn-rate", job.case.users)
        return [
            job.program, "--headless", "--only-summary", "--loglevel", "ERROR",
            "--locustfile", job.write("locustfile.py", text), "--host", job.url, *users,
            "--run-time", f"{job.seconds + 1:.0f}s",
        ]  # fmt: skip

    return command


_MOLOTOV = """
from molotov import scenario

BODY = {body}

@scenario(weight=100)
async def visit(session):
{lines}
"""


def _molotov(job: Job) -> list[object]:
    lines = []
    for call in _calls(job, "session"):
        lines += [f"async with {call} as answer:", "    await answer.read()"]
        lines += ["    assert answer.status == 200"] if job.case.checked else []
    script = job.write("loadtest.py", _MOLOTOV.format(body=BODY, lines=_indented(lines, 4)))
    users = ("--workers", job.case.users, "--duration", f"{job.seconds + 1:.0f}")
    return [job.program, "--quiet", "--uvloop", "--processes", "1", *users, script]


_GEVENTHTTPCLIENT = """
import os
import gevent
from geventhttpclient import HTTPClient

BODY = {body!r}
HEADERS = {{"Content-Type": "application/json"}}
TRUST = {{"ca_certs": os.environ["SSL_CERT_FILE"]}}

def visit():
    client = HTTPClient.from_url({url!r}, concurrency=1, block_size=1 << 16, ssl_options=TRUST)
    while True:
{lines}

with gevent.Timeout({seconds}, False):
    gevent.joinall([gevent.spawn(visit) for _ in range({users})])
"""


def _geventhttpclient(job: Job) -> list[object]:
    lines = []
    for method, path in job.case.calls:
        more = ", BODY, HEADERS" if method == "POST" else ""
        lines += [f"answer = client.{method.lower()}({path!r}{more})", "answer.read()"]
        lines += ["assert answer.status_code == 200"] if job.case.checked else []
    text = _GEVENTHTTPCLIENT.format(
        body=BODY, url=job.url, seconds=job.seconds, users=job.case.users, lines=_indented(lines, 8)
    )
    return [job.program, job.write("loop.py", text)]


def _calls(job: Job, client: str, url: str | None = None) -> list[str]:
    """The calls of a case in the API of Requests, which others have as well."""

    def call(method: str, path: str) -> str:
        more = ", json=BODY" if method == "POST" else ""
        return f'{client}.{method.lower()}("{job.url if url is None else url}{path}"{more})'

    return [call(*each) for each in job.case.calls]


def _indented(lines: list[str], depth: int) -> str:
    return "\n".join(" " * depth + line for line in lines)


# -- generators in other languages -----------------------------------------------------------------

_K6 = """
import http from 'k6/http';
import {{ check }} from 'k6';

const BODY = JSON.stringify({body});
const JSON_TYPE = {{ headers: {{ 'Content-Type': 'application/json' }} }};
const isOk = {{ 'status is 200': (answer) => answer.status === 200 }};

export const options = {{
  discardResponseBodies: true,
  scenarios: {{
    visitors: {{ executor: 'constant-vus', vus: {users}, duration: '{seconds}s' }},
  }},
}};

export default function () {{
{lines}
}}
"""


def _k6(job: Job) -> list[object]:
    def line(call: Call) -> str:
        more = ", BODY, JSON_TYPE" if call.method == "POST" else ""
        made = f"http.{call.method.lower()}('{job.url}{call.path}'{more})"
        return f"check({made}, isOk);" if job.case.checked else f"{made};"

    lines = _indented([line(call) for call in job.case.calls], 2)
    text = _K6.format(body=BODY, users=job.case.users, seconds=job.seconds, lines=lines)
    quiet = ("--quiet", "--no-summary", "--no-usage-report", "--log-output", "none")
    return [job.program, "run", *quiet, job.write("script.js", text)]


def _hey(job: Job) -> list[object]:
    (call,) = job.case.calls
    body = ("-m", "POST", "-T", "application/json", "-d", BODY) if call.method == "POST" else ()
    users = ("-c", job.case.users, "-z", f"{job.seconds}s")
    return [job.program, *users, *body, job.url + call.path]


def _wrk(job: Job) -> list[object]:
    (call,) = job.case.calls
    options: tuple[object, ...] = ("-t", 1, "-c", job.case.users, "-d", f"{job.seconds + 1:.0f}s")
    if call.method == "POST":
        script = (
            f'wrk.method = "POST"\nwrk.body = {json.dumps(BODY)}\n'
            'wrk.headers["Content-Type"] = "application/json"\n'
        )
        options += ("-s", job.write("post.lua", script))
    return [job.program, *options, job.url + call.path]


PEERS = (
    Peer("loads", "loads-runner", "", _loads),
    Peer("loads-plain", "loads-runner", "", _plain),
    Peer("wrk", "wrk", DEBIAN.format("wrk"), _wrk, single=True),
    Peer("hey", "hey", DEBIAN.format("hey"), _hey, version=(), single=True),
    Peer("geventhttpclient", "python", PYPI, _geventhttpclient, common=False,
         version=("-c", "import importlib.metadata as m; print(m.version('geventhttpclient'))")),
    Peer("k6", "k6", PYPI, _k6, version=("version",)),
    Peer("locust-fast", "locust", PYPI, _locust("FastHttpUser")),
    Peer("molotov", "molotov", PYPI, _molotov, common=False),
    Peer("locust-http", "locust", PYPI, _locust("HttpUser"), common=False),
)  # fmt: skip

COMMANDS = Path(sys.executable).parent  #: where our own commands are
