"""A broker behind a real sshd on loopback: its own port, host key, user key and configuration."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loads.protocol.roles import Role
from loads.transport.keys import KeyRing
from tests.conftest import find_program
from tests.e2e.cluster import SITE, Cluster, Runner, site
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

pytestmark = pytest.mark.needs("ssh", "sshd", "ssh-keygen")
SEPARATION = Path("/run/sshd")  #: an empty directory that sshd wants where it is started by root


class Sshd:
    """A server of its own, and an ``ssh`` that knows its keys and no others."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.folder = stage.root / "ssh"
        self.folder.mkdir(mode=0o700)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name in ("host", "user", "stranger"):
            key = ("-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
            subprocess.run([find_program("ssh-keygen") or "", *key], check=True)
        self.folder.joinpath("authorized").write_bytes((self.folder / "user.pub").read_bytes())
        public = (self.folder / "host.pub").read_text()
        self.folder.joinpath("known").write_text(f"[127.0.0.1]:{self.port} {public}")
        self._wrap_ssh()

    @property
    def at(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    def _wrap_ssh(self) -> None:
        """An ``ssh`` first on the path that is the real one with a configuration of the test's."""
        self.configure()
        wrapper = self.folder / "bin" / "ssh"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {find_program("ssh")} -F {self.folder}/config "$@"\n')
        wrapper.chmod(0o755)
        self.path = f"{wrapper.parent}:{os.environ['PATH']}"

    def configure(self, key: str = "user", known: str = "known") -> None:
        """Have ssh use a key, and take the host keys in a file for known."""
        self.folder.joinpath("config").write_text(
            f"IdentityFile {self.folder}/{key}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.folder}/{known}\nGlobalKnownHostsFile none\n"
            "StrictHostKeyChecking yes\nPasswordAuthentication no\n"
        )

    def start(self, more: str = "") -> Process:
        """Start it and wait until it listens."""
        if os.getuid() == 0:
            SEPARATION.mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nPidFile none\nUsePAM no\n"
            "StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin yes\n{more}\n"
        )
        arguments = ("-D", "-e", "-f", config)
        self.process = self.stage.start("sshd", find_program("sshd"), *arguments)
        self.process.says("Server listening on")
        return self.process

    def connections(self) -> list[int]:
        """The processes that serve a connection each."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


@pytest.fixture
def sshd(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    there = SEPARATION.exists()
    server = Sshd(stage)
    monkeypatch.setenv("PATH", server.path)
    yield server
    if not there and SEPARATION.exists():
        SEPARATION.rmdir()


def tunnels(stage: Stage) -> list[int]:
    """The processes of ssh that are there."""
    return [pid for pid, command in stage.survivors().items() if " -M -N -T " in command
            and not command.startswith("/bin/sh")]  # fmt: skip


@pytest.mark.parametrize("tcp", [False, True], ids=["ipc", "tcp"])
def test_a_run_through_a_tunnel_is_exact(
    stage: Stage, sshd: Sshd, target: Target, tcp: bool
) -> None:
    """Frontend and publisher are tunnelled over one connection; nobody is asked where they are."""
    sshd.start(f"SetEnv LOADS_HOME={stage.home}")
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, agents=2, tcp=tcp)
    options = ("-u", 5, "--hits", 20, "--server-url", target.url, "--ssh", sshd.at)
    result = Runner(
        stage, "test_site", *options, "-a", 2, "--broker", cluster.frontend
    ).wait()  # fmt: skip
    assert result.code == 0, result.err
    assert result.hits == target.hits == 200
    assert not tunnels(stage)
    asked = stage.start("ping", "loads-runner", "--ping-broker", "--ssh", sshd.at,
                        "-b", cluster.frontend)  # fmt: skip
    assert asked.wait() == 0
    assert f"publisher:  {cluster.publisher}" in asked.out, "as it is there"


def test_the_owner_of_a_locked_broker_needs_no_token_here(
    stage: Stage, sshd: Sshd, target: Target
) -> None:
    """As in Loads 1, from a machine where nothing is known of the broker's keys.

    Its shell greets whoever comes, and the token shows up nowhere.
    """
    greeted = 'ForceCommand echo "A word of welcome"; eval "$SSH_ORIGINAL_COMMAND"'
    sshd.start(f"SetEnv LOADS_HOME={stage.home}\n{greeted}")
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, tcp=True)
    elsewhere = {"LOADS_HOME": str(stage.root / "elsewhere")}
    options = ("-u", 5, "--hits", 20, "--server-url", target.url, "--ssh", sshd.at)
    through = ("-a", 1, "--broker", cluster.frontend)
    runner = Runner(stage, "test_site", *options, *through, env=elsewhere)
    result = runner.wait()
    assert result.code == 0, result.err
    assert result.hits == target.hits == 100
    assert result.summary["submitted_by"] == "@owner"
    token = (stage.home / "brokers" / cluster.frontend.rpartition(":")[2]).read_text()
    logs = [path.read_text() for path in stage.logs_at.iterdir()]
    assert not [log for log in logs if "loads1_" in log or token[55:90] in log]


def test_who_is_not_the_owner_there_is_told_so(stage: Stage, sshd: Sshd) -> None:
    """The user there has no token, or one of a broker that was there before."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, tcp=True)
    at = ("--broker", cluster.frontend, "--ssh", sshd.at)
    theirs = stage.root / "theirs"
    sshd.start(f"SetEnv LOADS_HOME={theirs}")
    said = refused(stage, *at)
    assert f"The broker at {cluster.frontend} is locked" in said
    assert f"no token for it in the home of the user at -p {sshd.port}" in said
    assert "loads-keys add" in said
    KeyRing(theirs).open(cluster.frontend)
    said = refused(stage, *at)
    assert f"What answers at {cluster.frontend} does not have the key" in said
    token = KeyRing(stage.home).add("anne", Role.RUNNER, cluster.frontend, 0)
    asked = stage.start("ping", "loads-runner", "--ping-broker", "--ssh", sshd.at, "-b", token)
    assert asked.wait() == 0, "a token that is given is the one that is used"


def test_a_port_there_that_the_broker_has_left_is_not_trusted(stage: Stage, sshd: Sshd) -> None:
    """Whoever has it now may be anybody on that machine."""
    cluster = Cluster(stage, agents=0, tcp=True)
    cluster.broker.terminate()
    sshd.start(f"SetEnv LOADS_HOME={stage.home}")
    elsewhere = {"LOADS_HOME": str(stage.root / "elsewhere")}
    asked = stage.start("ping", "loads-runner", "--ping-broker", "--ssh", sshd.at,
                        "-b", cluster.frontend, env=elsewhere)  # fmt: skip
    assert asked.wait() == 5
    assert f"runs at {cluster.frontend} there" in asked.err


def test_a_tunnel_that_breaks_is_opened_again(stage: Stage, sshd: Sshd, target: Target) -> None:
    """Killed at both ends in turn; the run goes on, and its numbers are whole in the end."""
    sshd.start()
    stage.write("test_site.py", site("/slow/0.05"))
    cluster = Cluster(stage)
    options = ("-u", 4, "--hits", 200, "--server-url", target.url, "--ssh", sshd.at, "-a", 1)
    runner = Runner(stage, "test_site", *options, "--broker", cluster.frontend)
    until(lambda: target.hits > 40, "some load")
    (first,) = tunnels(stage)
    os.kill(first, signal.SIGKILL)
    until(lambda: tunnels(stage) not in ([], [first]), "another tunnel")
    (second,) = tunnels(stage)
    for pid in until(sshd.connections, "its connection"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: tunnels(stage) not in ([], [second]), "a third tunnel")
    result = runner.wait()
    assert result.code == 0, result.err
    assert result.hits == target.hits == 800


def test_ctrl_c_stops_the_run_through_the_tunnel(
    stage: Stage, sshd: Sshd, target: Target
) -> None:  # fmt: skip
    """A terminal sends the signal to ssh as well, and the run has yet to be stopped through it."""
    sshd.start()
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage)
    options = ("-u", 4, "--hits", 1_000_000, "--server-url", target.url, "--ssh", sshd.at)
    runner = Runner(stage, "test_site", *options, "-a", 1, "--broker", cluster.frontend)
    until(lambda: target.hits > 40, "some load")
    before = tunnels(stage)
    runner.process.signal_group(signal.SIGINT)
    runner.process.says("Stopping")
    assert tunnels(stage) in (before, [])
    result = runner.wait()
    assert result.code == 130
    assert result.hits == target.hits


def test_ssh_ends_with_a_runner_that_is_killed(stage: Stage, sshd: Sshd, target: Target) -> None:
    sshd.start()
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage)
    options = ("-u", 2, "--hits", 1_000_000, "--server-url", target.url, "--ssh", sshd.at)
    runner = Runner(stage, "test_site", *options, "-a", 1, "--broker", cluster.frontend)
    until(lambda: target.hits > 40, "some load")
    assert tunnels(stage)
    runner.process.signal(signal.SIGKILL)
    until(lambda: not tunnels(stage), "the end of ssh")


def refused(stage: Stage, *options: object) -> str:
    """What a runner says that gets no answer through ssh."""
    runner = Runner(stage, "test_site", "-a", 1, *options)
    assert runner.process.wait() == 5
    assert "Traceback" not in runner.process.err
    return runner.process.err


def test_what_can_go_wrong_is_told(stage: Stage, sshd: Sshd) -> None:
    """Each with what ssh itself says, and what to do about it."""
    stage.write("test_site.py", SITE)
    nobody = ("--broker", f"ipc://{stage.root}/nobody.sock")
    said = refused(stage, "--ssh", sshd.at, *nobody)
    assert "Connection refused" in said
    server = sshd.start()
    said = refused(stage, "--ssh", sshd.at, *nobody)
    assert f"No broker answers at ipc://{stage.root}/nobody.sock on" in said
    assert "Is the broker running there" in said
    sshd.configure(known="empty")
    said = refused(stage, "--ssh", sshd.at, *nobody)
    assert "Host key verification failed" in said
    assert "to accept its key" in said
    sshd.configure(key="stranger")
    said = refused(stage, "--ssh", sshd.at, *nobody)
    assert "Permission denied" in said
    assert "works by itself" in said
    sshd.configure()
    server.terminate()
    sshd.start("AllowTcpForwarding no\nAllowStreamLocalForwarding no")
    said = refused(stage, "--ssh", sshd.at)
    assert "No broker answers at tcp://127.0.0.1:7780 on" in said
    assert "prohibited" in said
    assert "does not allow forwarding" in said


def test_no_ssh_and_no_host(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.write("test_site.py", SITE)
    for where in ("-oProxyCommand=touch x", "a b", "me@", "host:0", "host:ssh", ""):
        runner = Runner(stage, "test_site", "-a", 1, f"--ssh={where}")
        if where:
            assert runner.process.wait() == 2
            assert "names no host" in runner.process.err
        else:
            assert runner.process.wait() == 5, "an empty option is one that is not given"
    empty = stage.root / "empty"
    empty.mkdir()
    (empty / "python3").symlink_to(shutil.which("python3") or "")
    monkeypatch.setenv("PATH", str(empty))
    runner = Runner(stage, "test_site", "-a", 1, "--ssh", "host")
    assert runner.process.wait() == 2
    assert "needs the program ssh" in runner.process.err
