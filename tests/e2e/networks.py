"""Hosts on one machine: network namespaces, and links between them that can be made bad.

::

    hub ----- site: two ends of a virtual cable, always good ----- agent's host
        ----- control: packets pass through this module      -----

The broker, the runner and the target are on the hub.  An agent reaches the target by the good link,
and its broker by the other one, so that what is cut is only what the cluster says to itself.

The control link is a pair of TUN devices.  A thread carries packets from one to the other, late, or
not at all: that works where the kernel has no ``netem``.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_BACK = 60.0  #: seconds after which a packet is of no use to anybody

SITE = "10.97.0.1"  #: where the target is
HUB_SITE, HOST_SITE = "10.99.{}.1", "10.99.{}.2"
HUB_CONTROL, HOST_CONTROL = "10.98.{}.1", "10.98.{}.2"


def enter(namespace: str) -> None:
    """Move this thread, and only this one, into a network namespace."""
    with open(f"/run/netns/{namespace}") as at:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(at.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


def ip(*args: str, namespace: str = "") -> None:
    """Run ``ip``, in a namespace if one is named."""
    where = ("-n", namespace) if namespace else ()
    subprocess.run(["ip", *where, *args], check=True)


class Link(threading.Thread):
    """A link of TUN devices, one in each of two namespaces.

    ``delay`` is in seconds, each way; ``loss`` is the part of the packets that is lost, 0 to 1.
    """

    def __init__(self, one: str, other: str) -> None:
        super().__init__(daemon=True)
        self.delay, self.loss, self.is_cut = 0.0, 0.0, False
        self.carried = self.lost = 0
        self._places = (one, other)
        self._chance = random.Random(7)
        self._stop_out, self._stop_in = os.pipe()
        self._there = threading.Event()
        self._fds: list[int] = []
        self._under_way: list[tuple[float, int, int, bytes]] = []

    def open(self) -> None:
        """Have the devices made."""
        self.start()
        self._there.wait()

    def close(self) -> None:
        """Remove them, with what is under way."""
        os.close(self._stop_in)
        self.join()
        for fd in (*self._fds, self._stop_out):
            os.close(fd)

    def run(self) -> None:
        """Carry packets until :meth:`close`."""
        self._fds = [_tun(place, "control") for place in self._places]
        self._there.set()
        other = dict(zip(self._fds, reversed(self._fds), strict=True))
        while True:
            readable, _, _ = select.select([*self._fds, self._stop_out], [], [], self._wait())
            if self._stop_out in readable:
                return
            for fd in readable:
                with suppress(OSError):  # a device that is down has nothing to give
                    self._take(other[fd], os.read(fd, 1 << 16))
            self._deliver()

    def _wait(self) -> float:
        return max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else _BACK

    def _take(self, to: int, packet: bytes) -> None:
        if self.is_cut or self._chance.random() < self.loss:
            self.lost += 1
            return
        self.carried += 1
        due = time.monotonic() + self.delay
        heapq.heappush(self._under_way, (due, self.carried, to, packet))

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(self._under_way)
            with suppress(OSError):
                os.write(to, packet)


def _tun(namespace: str, name: str) -> int:
    enter(namespace)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return fd


class Host:
    """A namespace for an agent, with its two links to the hub."""

    def __init__(self, network: Network, number: int) -> None:
        self.namespace = f"{network.hub}-{number}"
        self.site = HUB_SITE.format(number)
        self.control = HUB_CONTROL.format(number)
        self._network = network
        self._device = f"site{number}"
        ip("netns", "add", self.namespace)
        ip("link", "set", "lo", "up", namespace=self.namespace)
        ends = (network.hub, self.namespace)
        other = ("peer", "name", "site", "netns", ends[1])
        ip("link", "add", self._device, "netns", ends[0], "type", "veth", *other)
        _address(ends[0], self._device, self.site)
        _address(ends[1], "site", HOST_SITE.format(number))
        ip("route", "add", SITE, "via", self.site, namespace=self.namespace)
        self.link = Link(network.hub, self.namespace)
        self.link.open()
        ip("link", "set", "control", "name", f"control{number}", namespace=network.hub)
        _address(network.hub, f"control{number}", self.control, HOST_CONTROL.format(number))
        _address(self.namespace, "control", HOST_CONTROL.format(number), self.control)

    def set_link(self, state: str) -> None:
        """Have the control link ``up`` or ``down``, as when a cable is pulled."""
        ip("link", "set", "control", state, namespace=self.namespace)

    def close(self) -> None:
        """Remove it."""
        self.link.close()
        ip("netns", "del", self.namespace)


def _address(namespace: str, device: str, address: str, peer: str = "") -> None:
    ends = (address, "peer", peer) if peer else (f"{address}/24",)
    ip("address", "add", *ends, "dev", device, namespace=namespace)
    ip("link", "set", device, "up", namespace=namespace)


class Network:
    """A hub and its hosts."""

    def __init__(self, hosts: int) -> None:
        self.hub = f"loads{os.getpid()}"
        self.hosts: list[Host] = []
        ip("netns", "add", self.hub)
        try:
            _address(self.hub, "lo", SITE)
            for number in range(1, hosts + 1):
                self.hosts.append(Host(self, number))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove all of it."""
        for host in self.hosts:
            host.close()
        ip("netns", "del", self.hub)


@contextmanager
def network(hosts: int) -> Iterator[Network]:
    """A network that is there."""
    made = Network(hosts)
    try:
        yield made
    finally:
        made.close()


def within(namespace: str, command: list[str]) -> list[str]:
    """A command line that is run in a namespace, if one is named; its process is the same."""
    return ["ip", "netns", "exec", namespace, *command] if namespace else command
