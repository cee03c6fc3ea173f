"""What others can do to our processes: those who submit runs, and those who share the machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from loads.bundle import Bundle, digest_of, pack
from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.metrics.summary import RunView
from loads.plan import RunPlan
from loads.transport.tokens import find_access
from tests.e2e.cluster import SITE, Cluster, Runner, site
from tests.e2e.locked import Locked
from tests.e2e.stage import Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until


def ended(cluster: Cluster, plan: RunPlan, bundle: Bundle) -> RunView:
    """The end of a run that was submitted with just these bytes."""
    access = find_access(cluster.frontend, cluster.stage.home)
    with BrokerClient(access, SystemClock()) as client:
        run_id = client.submit(plan, bundle)
        until(lambda: client.get(run_id).view.state == "ended", "the end of the run")
        return client.get(run_id).view


def packed(folder: Path, text: str = SITE) -> bytes:
    """A bundle of one test, in a file whose name is not ASCII, and of another file."""
    for name, content in (("test_größe.py", text), ("test_site.py", text)):
        (folder / name).write_text(content)
    return pack(folder, sorted(folder.iterdir())).data


def bad_name(data: bytes) -> bytes:
    """With a name in the directory that is no UTF-8."""
    return data.replace("ö".encode(), b"\xff\xfe")


def bad_place(data: bytes) -> bytes:
    """With a directory that tells of a file where none can be."""
    at = data.index(b"PK\1\2") + 42
    return data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :]


@pytest.mark.parametrize("damage", [bad_name, bad_place])
def test_an_agent_survives_a_damaged_bundle(stage: Stage, tmp_path: Path, damage: object) -> None:
    """Its digest is right: whoever may submit runs may say what it likes."""
    cluster = Cluster(stage)
    assert callable(damage)
    data = damage(packed(tmp_path))
    view = ended(cluster, RunPlan("test_site", agents=1), Bundle(data, digest_of(data)))
    assert "The bundle is damaged" in view.error
    assert cluster.agents[0].code is None
    assert "Traceback" not in cluster.agents[0].err


def test_an_agent_survives_what_nobody_has_foreseen(stage: Stage, tmp_path: Path) -> None:
    """A variable that no process can have; the run fails and says why, and so does the log."""
    cluster = Cluster(stage)
    data = packed(tmp_path)
    plan = RunPlan("test_site", agents=1, env={"GREETING": "hello\0world"})
    view = ended(cluster, plan, Bundle(data, digest_of(data)))
    assert "cannot start workers: embedded null byte" in view.error
    cluster.agents[0].says("ValueError: embedded null byte")
    assert cluster.agents[0].code is None


# -- other users of the machine --------------------------------------------------------------------


def commands(*at: object) -> list[tuple[object, ...]]:
    """All that connects to a broker."""
    return [
        ("loads-agent", "--workers", 1, *at),
        ("loads-runner", "test_site", "-a", 1, *at),
        ("loads-runner", "--list-runs", *at),
    ]


def test_a_runtime_directory_that_may_be_anybodys_is_not_used(stage: Stage) -> None:
    """Where there is no other, it is in /tmp, and whoever comes first can make it."""
    stage.write("test_site.py", SITE)
    folder = stage.tmp / f"loads-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    env = {"LOADS_RUNTIME_DIR": "", "XDG_RUNTIME_DIR": ""}
    with zmq.Context() as context, context.socket(zmq.ROUTER) as thief:
        thief.bind(f"ipc://{folder}/frontend.sock")
        for command in commands():
            victim = stage.start("victim", *command, env=env)
            assert victim.wait() == 5
            assert "may be anybody: others can enter" in victim.err
            assert f"chmod 700 {folder}" in victim.err
        assert not thief.poll(0)
    shutil.rmtree(folder)


@pytest.mark.parametrize("is_killed", [False, True], ids=["ended", "killed"])
def test_who_takes_the_port_of_a_broker_is_told_nothing(stage: Stage, is_killed: bool) -> None:
    """Its owner's commands know its key, and go on to ask for it."""
    stage.write("test_site.py", SITE)
    locked = Locked(stage, host="127.0.0.1")
    if is_killed:
        locked.broker.signal(signal.SIGKILL)
        locked.broker.wait()
    else:
        assert locked.broker.terminate() == 0
    with zmq.Context() as context, context.socket(zmq.ROUTER) as thief:
        thief.bind(locked.frontend)
        for command in commands("--broker", locked.frontend):
            victim = stage.start("victim", *command)
            assert victim.wait() == 5
            assert "does not have the key of the broker" in victim.err
        assert not thief.poll(0)


def test_the_owner_of_a_broker_without_locks_needs_no_key(stage: Stage) -> None:
    """Whether it had one with locks before or has one after."""
    Locked(stage, host="127.0.0.1").broker.terminate()
    for options in ((), ("--insecure",), ()):
        locked = Locked(stage, *options, host="127.0.0.1")
        asked = stage.start("ping", "loads-runner", "--ping-broker", "-b", locked.frontend)
        assert asked.wait() == 0, options
        locked.broker.terminate()


# -- words that act on a terminal ------------------------------------------------------------------

EVIL = "\\x1b]0;owned\\x07\\x1b[2J\\x9b1A"  # as it is written in Python


def test_a_reason_that_an_agent_gives_is_only_read(stage: Stage, tmp_path: Path) -> None:
    """It is the text of an import error, of a test that somebody else wrote."""
    cluster = Cluster(stage)
    stage.write("test_site.py", f"""raise ImportError("{EVIL}")\n""")
    runner = stage.start("runner", "loads-runner", "test_site", "-a", 1)
    assert runner.wait() == 2
    shown = runner.out + runner.err
    assert "owned" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert cluster.agents[0].code is None


# -- keys that cannot be read ----------------------------------------------------------------------


def test_a_broker_without_its_folder_of_keys_goes_on(stage: Stage, target: Target) -> None:
    """With a run that is on, and with peers that come; and knows new keys when it is back."""
    stage.write("test_gate.py", site("/gate"))
    locked = Locked(stage)
    locked.agent(locked.token("box", "agent")).says("Registered with the broker")
    anne = locked.token("anne", "runner")
    run = locked.start(anne, "test_gate", "-a", 1, "-u", 3, "--server-url", target.url)
    until(lambda: target.hits == 3, "all users at the gate")
    folder = stage.home / "keys"
    folder.rename(stage.home / "moved")
    locked.broker.says("Keys cannot be read: No such file or directory")
    asked = stage.start("ping", "loads-runner", "--ping-broker", "-b", anne, env=locked.elsewhere)
    assert asked.wait() == 0, asked.err
    target.open_gate()
    result = run.wait()
    assert result.code == 0, result.err
    assert result.hits == target.hits == 3
    (stage.home / "moved").rename(folder)
    again = locked.token("eve", "viewer")
    asked = stage.start("ping", "loads-runner", "--ping-broker", "-b", again, env=locked.elsewhere)
    assert asked.wait() == 0, asked.err
    assert "removed" not in locked.broker.err


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--debug",)], ids=["", "debug"])
def test_a_test_that_runs_here_sees_no_token(stage: Stage, options: tuple[str, ...]) -> None:
    stage.write(
        "test_env.py",
        """
        import os

        def test_env():
            assert "LOADS_BROKER" not in os.environ
            assert os.environ["LOADS_SERVER_URL"] == "http://localhost:1"
        """,
    )
    env = {"LOADS_BROKER": "loads1_secret", "LOADS_SERVER_URL": "http://localhost:1"}
    runner = stage.start("runner", "loads-runner", "test_env", *options, env=env)
    assert runner.wait() == 0, runner.out


def test_a_module_hides_its_token_as_the_command_does(stage: Stage) -> None:
    locked = Locked(stage)
    token = locked.token("box", "agent")
    module = ("python", "-m", "loads.cli.agent", "--workers", 1, "--broker")
    agent = stage.start("agent", *module, token, env=locked.elsewhere)
    agent.says("Registered with the broker")
    seen = Path(f"/proc/{agent.pid}/cmdline").read_bytes()
    assert b"loads.cli.agent" in seen
    assert b"loads1_" not in seen
    for name in ("run", "keys"):
        bad = stage.start("bad", "python", "-m", f"loads.cli.{name}", "--nonsense")
        assert bad.wait() == 2
        assert "No such option" in bad.err


# -- brokers of which only the frontend is on tcp --------------------------------------------------


def joined(locked: Locked, target: Target, env: Mapping[str, str] | None = None) -> None:
    """An agent and a runner that know a token each, and a run of theirs."""
    locked.stage.write("test_site.py", SITE)
    locked.agent(locked.token("box", "agent"), env).says("Registered with the broker")
    anne = locked.token("anne", "runner")
    runner = Runner(locked.stage, "test_site", "-a", 1, "--server-url", target.url, "--broker",
                    anne, env={**locked.elsewhere, **(env or {})})  # fmt: skip
    result = runner.wait()
    assert result.code == 0, result.err
    assert result.hits == target.hits == 1


def test_a_frontend_is_all_that_a_broker_needs(stage: Stage, target: Target) -> None:
    """As in Loads 1, whose other endpoints had defaults of their own."""
    locked = Locked.with_frontend(stage, free_ports(3))
    joined(locked, target)
    port = int(locked.frontend.rpartition(":")[2])
    assert locked.backend.endswith(f":{port + 1}")
    assert locked.publisher.endswith(f":{port + 2}")


def test_a_broker_with_a_part_on_unix_sockets(stage: Stage, target: Target) -> None:
    """Who is on its machine, with a key for the frontend, needs none for those."""
    more = [f"--{name}=ipc://{stage.runtime}/{name}.sock" for name in ("backend", "publisher")]
    locked = Locked.with_frontend(stage, 0, *more)
    assert locked.backend.startswith("ipc://")
    joined(locked, target)


def test_a_part_on_unix_sockets_of_another_machine(stage: Stage) -> None:
    """It is said what is wrong, and what to do; nothing waits for ever."""
    more = [f"--{name}=ipc://{stage.runtime}/{name}.sock" for name in ("backend", "publisher")]
    locked = Locked.with_frontend(stage, 0, *more)
    (stage.runtime / "backend.sock").unlink()
    agent = locked.agent(locked.token("box", "agent"))
    assert agent.wait() == 5
    assert "has a part that only its own machine reaches" in agent.err
    assert "--backend" in agent.err


def free_ports(count: int) -> int:
    """The first of some ports in a row that were free a moment ago."""
    for port in range(20_000 + os.getpid() % 10_000, 60_000, count):
        try:
            with ExitStack() as held:
                for number in range(port, port + count):
                    held.enter_context(socket.create_server(("127.0.0.1", number)))
            return port
        except OSError:
            continue
    pytest.fail("no ports are free")
