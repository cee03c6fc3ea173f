"""Brokers, agents and runners as their users start them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.metrics.summary import RunView
from loads.transport.tokens import find_access
from tests.e2e.networks import within
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import PATIENCE

#: The smallest user's test there is: one hit.
SITE = """
    from loads.case import TestCase

    class TestSite(TestCase):
        path = "/"

        def test_home(self):
            self.assertEqual(self.session.get(self.server_url + self.path).status_code, 200)
"""


def site(path: str) -> str:
    """The text of a test of one hit to ``path``."""
    return SITE.replace('"/"', repr(path))


@dataclass
class Result:
    """How a run ended."""

    code: int
    out: str
    err: str
    summary_at: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The summary that ``--output json`` wrote."""
        summary: dict[str, Any] = json.loads(self.summary_at.read_text())
        return summary

    @property
    def hits(self) -> int:
        """The hits in total, as the JSON has them; checked against its parts."""
        total: int = self.summary["hits"]["total"]
        assert sum(url["hits"] for url in self.summary["urls"]) == total
        assert sum(agent["hits"] for agent in self.summary["agents"]) == total
        return total

    @property
    def cut(self) -> int:
        """The hits that ended with the run; the target may not have read their requests."""
        return sum(int(url["status"].get("cut", 0)) for url in self.summary["urls"])

    def is_exact(self, target: Target) -> bool:
        """Whether nothing is unknown, and as much was counted as by the target."""
        return self.hits == target.hits and self.knows_all

    def is_exact_but_for_cut(self, target: Target) -> bool:
        """The same, where requests that had only just been sent were cut by force."""
        return self.hits - self.cut <= target.hits <= self.hits and self.knows_all

    def check_nothing_lost(self, target: Target, most_cut: int) -> None:
        """The run is finished and exact; its end cut no more than so many requests."""
        assert self.summary["status"] == "finished"
        assert self.is_exact_but_for_cut(target)
        assert self.cut <= most_cut
        assert self.warnings == []
        assert self.code == 0

    @property
    def knows_all(self) -> bool:
        return all(agent["unknown"] == 0 for agent in self.summary["agents"])

    @property
    def tests(self) -> dict[str, int]:
        """How often each verdict was given."""
        names = ("success", "failures", "errors", "skipped", "cut")
        return {name: self.summary["tests"][name] for name in names}

    @property
    def warnings(self) -> list[str]:
        """What its reader should know, but that this machine had too much to do for a second."""
        busy = "The machine did not run a worker for "
        return [text for text in self.summary["warnings"] if not text.startswith(busy)]

    def figure(self, name: str) -> int:
        """A number on the console, such as that after ``Hits:``."""
        found = re.search(rf"^{name}: ([\d,]+)$", self.out, re.MULTILINE)
        assert found, f"the console has no line {name!r}"
        return int(found[1].replace(",", ""))


class Runner:
    """A ``loads-runner`` under way, which shows the console and writes its summary to a file."""

    def __init__(
        self,
        stage: Stage,
        *options: object,
        cwd: Path | None = None,
        namespace: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        number = len(stage.processes)
        self.summary_at = stage.root / f"summary-{number}.json"
        outputs = ("--output", "console", "--output", "json")
        filename = ("--output-json-filename", self.summary_at)
        command = stage.command("loads-runner", *options, *outputs, *filename)
        self.process = stage.start("runner", *within(namespace, command), cwd=cwd, env=env)

    def wait(self, seconds: float = PATIENCE) -> Result:
        """Wait for its end."""
        code = self.process.wait(seconds)
        return Result(code, self.process.out, self.process.err, self.summary_at)


def run(stage: Stage, *options: object, cwd: Path | None = None) -> Result:
    """Run ``loads-runner`` to its end."""
    return Runner(stage, *options, cwd=cwd).wait()


class Cluster:
    """A broker and its agents."""

    def __init__(
        self,
        stage: Stage,
        agents: int = 1,
        *,
        tcp: bool = False,
        workers: int = 1,
        broker_options: tuple[object, ...] = (),
        agent_options: tuple[object, ...] = (),
    ) -> None:
        self.stage = stage
        self._agent_options = agent_options
        self._tcp = tcp
        endpoints: list[str] = []
        if tcp:  # a port of 0 and a port of * are two spellings of: any that is free
            for name, port in (("frontend", "0"), ("backend", "*"), ("publisher", "0")):
                endpoints += [f"--{name}", f"tcp://127.0.0.1:{port}"]
        self._broker_options = (*endpoints, *broker_options)
        self.start_broker()
        self.agents = [self.start_agent(workers) for _ in range(agents)]
        for agent in self.agents:
            agent.says("Registered with the broker")

    def start_broker(self) -> None:
        """Start the broker, or another when the one before has ended."""
        self.broker = self.stage.start("broker", "loads-broker", *self._broker_options)
        ready = self.broker.says("loads-broker is ready: ")
        self.frontend, self.backend, self.publisher = ready.split()[-3:]

    @property
    def at(self) -> tuple[str, ...]:
        """The options that lead to the broker; none, where it is at the usual place."""
        return ("--broker", self.frontend) if self._tcp else ()

    def start_agent(self, workers: int = 1) -> Process:
        """Start an agent, in a directory that has nothing to do with any test."""
        nowhere = self.stage.root / "nowhere"
        nowhere.mkdir(exist_ok=True)
        options = (*self.at, "--workers", workers, *self._agent_options)
        return self.stage.start("agent", "loads-agent", *options, cwd=nowhere)

    def start(self, *options: object) -> Runner:
        """Start a run on all agents, unless ``options`` ask for another number."""
        count = () if "-a" in options else ("-a", len(self.agents))
        return Runner(self.stage, *options, *count, *self.at)

    def run(self, *options: object) -> Result:
        """Run to the end."""
        return self.start(*options).wait()

    def view(self, run_id: str) -> RunView:
        """What the broker knows of a run."""
        access = find_access(self.frontend, self.stage.home)
        with BrokerClient(access, SystemClock()) as client:
            return client.get(run_id).view
