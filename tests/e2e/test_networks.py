"""Links that break, are slow or lose packets, between hosts that are network namespaces."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Runner
from tests.e2e.cluster import site as page
from tests.e2e.durations import lasting
from tests.e2e.networks import SITE, Host, Network, network, within
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target, serving
from tests.e2e.waiting import until

pytestmark = pytest.mark.needs("root", "ip")

USERS = 10
AGENT_TIMEOUT = 2


class Hosts:
    """A broker on the hub, and an agent on each host."""

    def __init__(self, stage: Stage, net: Network, orphan_timeout: float) -> None:
        self.stage, self.net = stage, net
        endpoints = [
            option
            for name, port in (("frontend", 7780), ("backend", 7781), ("publisher", 7782))
            for option in (f"--{name}", f"tcp://*:{port}")
        ]
        self.broker = self._start(
            net.hub, "broker", *endpoints, "--insecure", "--agent-timeout", AGENT_TIMEOUT
        )
        self.broker.says("loads-broker is ready: ")
        options = ("--workers", 1, "--orphan-timeout", orphan_timeout)
        self.agents = [
            self._start(host.namespace, "agent", *options, "--broker", f"tcp://{host.control}:7780")
            for host in net.hosts
        ]
        for agent in self.agents:
            agent.says("Registered with the broker")

    def _start(self, namespace: str, name: str, *options: object) -> Process:
        command = self.stage.command(f"loads-{name}", *options)
        return self.stage.start(name, *within(namespace, command))

    def start(self, target: Target, *options: object) -> Runner:
        """Start a run on all agents."""
        cluster = ("-a", len(self.agents), "--broker", "tcp://127.0.0.1:7780")
        where = ("--server-url", target.url)
        return Runner(self.stage, *options, *cluster, *where, namespace=self.net.hub)


@pytest.fixture
def net() -> Iterator[Network]:
    with network(hosts=2) as made:
        yield made


@pytest.fixture
def site(net: Network) -> Iterator[Target]:
    """A target on the hub, with nothing counted yet."""
    with serving(net.hub, SITE) as target:
        yield target


def under_load(target: Target, hits: int = 200) -> None:
    wanted = target.hits + hits
    until(lambda: target.hits >= wanted, f"{hits} hits more")


def break_link(host: Host, how: str) -> None:
    if how == "down":
        host.set_link("down")
    else:
        host.link.is_cut = True


def mend_link(host: Host, how: str) -> None:
    if how == "down":
        host.set_link("up")
    else:
        host.link.is_cut = False


BREAKS = pytest.mark.parametrize("how", ["dropped", "down"])


@BREAKS
def test_a_link_that_is_cut_for_less_than_the_orphan_timeout_loses_nothing(
    stage: Stage, net: Network, site: Target, how: str
) -> None:
    """The load goes on meanwhile; what it came to is reported when the link is back."""
    stage.write("test_slow.py", page("/slow/0.05"))
    hosts = Hosts(stage, net, orphan_timeout=30)
    runner = hosts.start(site, "test_slow", "-u", USERS, "--hits", 150)
    under_load(site)
    break_link(net.hosts[0], how)
    hosts.broker.says("is lost: silent for")
    served = site.hits
    under_load(site)
    mend_link(net.hosts[0], how)
    hosts.broker.says(" is back in run ")
    result = runner.wait()
    assert result.code == 0
    assert result.is_exact(site)
    assert result.tests["success"] == 2 * USERS * 150
    assert served < site.hits


def test_a_link_that_is_cut_for_some_seconds(stage: Stage, net: Network, site: Target) -> None:
    """Whether that is noticed or not: the agent is told for dead, and back, or neither."""
    stage.write("test_slow.py", page("/slow/0.05"))
    hosts = Hosts(stage, net, orphan_timeout=30)
    runner = hosts.start(site, "test_slow", "-u", USERS, "--hits", lasting(100, 200))
    under_load(site)
    net.hosts[0].link.is_cut = True
    time.sleep(lasting(1, 5))  # the fault itself
    net.hosts[0].link.is_cut = False
    result = runner.wait()
    assert result.code == 0
    assert result.is_exact(site)


@BREAKS
def test_a_link_that_is_cut_for_longer_than_the_orphan_timeout_stops_the_load(
    stage: Stage, net: Network, site: Target, how: str
) -> None:
    """The other agent goes on; what the orphan did is reported when the link is back."""
    stage.write("test_slow.py", page("/slow/0.05"))
    hosts = Hosts(stage, net, orphan_timeout=4)
    runner = hosts.start(site, "test_slow", "-u", USERS, "-d", 14)
    under_load(site)
    break_link(net.hosts[0], how)
    hosts.agents[0].says("The load is stopped: orphaned, no word from the broker")
    until(lambda: not hosts.agents[0].workers, "the end of its workers")
    mend_link(net.hosts[0], how)
    result = runner.wait()
    assert result.code == 4
    assert result.is_exact_but_for_cut(site)
    (warning,) = result.warnings
    assert "stopped early: orphaned" in warning


def test_a_link_that_never_comes_back_leaves_a_named_loss(
    stage: Stage, net: Network, site: Target
) -> None:
    stage.write("test_slow.py", page("/slow/0.05"))
    hosts = Hosts(stage, net, orphan_timeout=4)
    runner = hosts.start(site, "test_slow", "-u", USERS, "--hits", 100)
    under_load(site)
    break_link(net.hosts[0], "dropped")
    result = runner.wait()
    assert result.code == 4
    assert result.hits <= site.hits <= 2 * USERS * 100
    (most,) = re.findall(r"may have run up to ([\d,]+) tests", "\n".join(result.warnings))
    assert site.hits <= result.hits + int(most.replace(",", ""))
    assert sorted(str(agent["unknown"]) for agent in result.summary["agents"]) == ["0", "None"]
    mend_link(net.hosts[0], "dropped")
    hosts.broker.says("registered with 1 worker;", times=3)


def test_who_is_out_of_reach_stops_before_the_others_take_over_for_long(
    stage: Stage, net: Network, site: Target
) -> None:
    """What the agent did is counted when it is back; all tests that were planned are done."""
    stage.write("test_slow.py", page("/slow/0.05"))
    hosts = Hosts(stage, net, orphan_timeout=30)
    options = ("-u", USERS, "--hits", 150, "--on-agent-loss", "redistribute")
    runner = hosts.start(site, "test_slow", *options)
    under_load(site)
    break_link(net.hosts[0], "dropped")
    hosts.agents[0].says("The load is stopped: orphaned, no word from the broker")
    hosts.agents[1].says("taking over")
    mend_link(net.hosts[0], "dropped")
    hosts.broker.says(" is back in run ")
    result = runner.wait()
    assert result.code == 0
    assert result.is_exact(site)
    assert result.tests["success"] >= 2 * USERS * 150


def test_a_link_that_is_slow_and_loses_packets(stage: Stage, net: Network, site: Target) -> None:
    """200 ms each way and 5 % lost: reports are late, and all there."""
    stage.write("test_slow.py", page("/slow/0.05"))
    for host in net.hosts:
        host.link.delay, host.link.loss = 0.2, 0.05
    hosts = Hosts(stage, net, orphan_timeout=30)
    result = hosts.start(site, "test_slow", "-u", USERS, "-d", 6).wait()
    assert result.code == 0
    assert result.is_exact(site)
    assert all(agent["hits"] for agent in result.summary["agents"])
    assert all(host.link.lost for host in net.hosts)
