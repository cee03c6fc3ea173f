"""Where a broker may listen, and how its peers reach it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from loads.errors import BrokerError, BrokerRefused, ExitCode, UsageError
from loads.transport.endpoints import (
    MAX_IPC_PATH,
    Endpoints,
    SocketLock,
    check_bind,
    check_place,
    check_syntax,
    default_endpoints,
    endpoints_of,
    make_private,
    reachable,
    runtime_directory,
)
from loads.transport.publisher import Publisher
from loads.transport.sockets import Dealer, Router, Subscriber

PRIVATE = [
    "ipc:///run/user/1000/loads/frontend.sock",
    "ipc://frontend.sock",
    "ipc://" + "x" * MAX_IPC_PATH,
    "tcp://127.0.0.1:7780",
    "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:*",
    "tcp://127.1.2.3:7780",
    "tcp://127.255.255.254:7780",
    "tcp://localhost:7780",
    "tcp://LocalHost:7780",
    "tcp://[::1]:7780",
]
PUBLIC = [
    "tcp://0.0.0.0:7780",
    "tcp://*:7780",
    "tcp://*:*",
    "tcp://[::]:7780",
    "tcp://[::ffff:0.0.0.0]:7780",
    "tcp://192.168.0.1:7780",
    "tcp://10.127.0.1:7780",
    "tcp://eth0:7780",
    "tcp://broker.example:7780",
    "tcp://0:7780",
    "tcp://localhost.example:7780",
    "tcp://127.example:7780",
    "tcp://127.0.0.1.example:7780",
    "tcp://127.0.0:7780",
    "tcp://[::1%eth0]:7780",
    "tcp://[::10]:7780",
]
NONSENSE = [
    "",
    "localhost:7780",
    "tcp://",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:",
    "tcp://:7780",
    "tcp://127.0.0.1:http",
    "tcp://127.0.0.1:-1",
    "tcp://[::1]",
    "tcp:127.0.0.1:7780",
    "ipc://",
    "ipc:/run/frontend.sock",
    "http://127.0.0.1:7780",
    "inproc://frontend",
    "ipc://" + "x" * (MAX_IPC_PATH + 1),
    "ipc://" + "é" * (MAX_IPC_PATH // 2 + 1),
]


@pytest.mark.parametrize("endpoint", PRIVATE)
def test_what_only_this_machine_reaches_may_be_bound(endpoint: str) -> None:
    check_bind(endpoint, is_safe=False)


@pytest.mark.parametrize("endpoint", PUBLIC)
def test_what_a_network_reaches_needs_to_be_asked_for(endpoint: str) -> None:
    with pytest.raises(UsageError, match="can be reached from the network") as caught:
        check_bind(endpoint, is_safe=False)
    assert "keys" in caught.value.hint
    assert "--insecure" in caught.value.hint
    check_bind(endpoint, is_safe=True)


@pytest.mark.parametrize("endpoint", NONSENSE)
def test_what_is_no_endpoint_is_none_however_safe(endpoint: str) -> None:
    with pytest.raises(UsageError):
        check_syntax(endpoint)
    with pytest.raises(UsageError):
        check_bind(endpoint, is_safe=True)


@pytest.mark.parametrize(
    ("named", "backend", "publisher"),
    [
        (("tcp://*:7780",), "tcp://*:7781", "tcp://*:7782"),
        (("tcp://[::1]:7780",), "tcp://[::1]:7781", "tcp://[::1]:7782"),
        (("tcp://127.0.0.1:0",), "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
        (("tcp://127.0.0.1:*",), "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
        (("tcp://a:1", "tcp://b:9"), "tcp://b:9", "tcp://a:3"),
        (("tcp://a:1", "ipc:///b", "ipc:///p"), "ipc:///b", "ipc:///p"),
        (("tcp://a:1", "", "ipc:///p"), "tcp://a:2", "ipc:///p"),
        (("tcp://a:65535", "tcp://a:1", "tcp://a:2"), "tcp://a:1", "tcp://a:2"),
        (("ipc:///f",), "ipc:///run/backend.sock", "ipc:///run/publisher.sock"),
        (("", "tcp://a:1"), "tcp://a:1", "ipc:///run/publisher.sock"),
    ],
)
def test_endpoints_that_are_not_named_are_beside_the_frontend(
    monkeypatch: pytest.MonkeyPatch, named: tuple[str, ...], backend: str, publisher: str
) -> None:
    """Whoever reaches a frontend on tcp, as Loads 1 had it, reaches them too."""
    monkeypatch.setenv("LOADS_RUNTIME_DIR", "/run")
    frontend = named[0] or "ipc:///run/frontend.sock"
    assert endpoints_of(*named) == Endpoints(frontend, backend, publisher)


@pytest.mark.parametrize(
    "named",
    [("tcp://a:65535",), ("tcp://a:65534",), ("tcp://a:1", "tcp://a:3"), ("tcp://a:1", "", "tcp://a:2"),
     ("tcp://a",)],
)  # fmt: skip
def test_where_there_is_no_port_beside_the_frontend(named: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        endpoints_of(*named)
    assert "--backend" in caught.value.hint or "names no host and port" in caught.value.message


@pytest.mark.parametrize(
    ("advertised", "used", "reached"),
    [
        ("tcp://0.0.0.0:81", "tcp://box:80", "tcp://box:81"),
        ("tcp://[::]:81", "tcp://10.0.0.5:80", "tcp://10.0.0.5:81"),
        ("tcp://*:81", "tcp://[fe80::1]:80", "tcp://[fe80::1]:81"),
        ("tcp://0.0.0.0:81", "ipc:///run/frontend.sock", "tcp://127.0.0.1:81"),
        ("tcp://127.0.0.1:81", "tcp://127.0.0.1:80", "tcp://127.0.0.1:81"),
        ("tcp://10.0.0.5:81", "tcp://box:80", "tcp://10.0.0.5:81"),
        ("ipc:///run/backend.sock", "tcp://127.0.0.1:80", "ipc:///run/backend.sock"),
        ("ipc:///run/backend.sock", "ipc:///run/frontend.sock", "ipc:///run/backend.sock"),
    ],
)
def test_an_advertised_endpoint_as_its_peer_reaches_it(
    advertised: str, used: str, reached: str
) -> None:
    assert reachable(advertised, used) == reached


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "*", "[::]"])
def test_a_socket_bound_to_all_interfaces_is_reached_by_the_name_that_was_used(
    wildcard: str,
) -> None:
    """What a socket says that it became is a wildcard still, and not an address of ours."""
    router = Router(())
    try:
        bound = router.bind(f"tcp://{wildcard}:0")
        port = bound.rpartition(":")[2]
        assert int(port) > 0
        assert reachable(bound, "tcp://box:80") == f"tcp://box:{port}"
    finally:
        router.close()


@pytest.mark.parametrize("port", ["0", "*"])
def test_a_bound_endpoint_can_be_given_to_another(port: str) -> None:
    """It is spelled as it was asked for, with its port."""
    router = Router(())
    try:
        bound = router.bind(f"tcp://127.0.0.1:{port}")
        assert bound.startswith("tcp://127.0.0.1:")
        check_bind(bound, is_safe=False)
        second = Publisher()
        with pytest.raises(BrokerError, match="cannot be opened: Address already in use"):
            second.bind(bound)
        second.close()
    finally:
        router.close()


def test_a_socket_that_cannot_be_made_is_our_error() -> None:
    dealer = Dealer(())
    try:
        with pytest.raises(BrokerError, match="cannot be opened: No such file or directory"):
            dealer.bind("ipc:///nowhere/at/all.sock")
        assert dealer.receive() is None
        assert not dealer.wait(0)
    finally:
        dealer.close(linger=False)


# -- the runtime directory -------------------------------------------------------------------------


def test_the_directory_is_named_by_the_environment(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOADS_RUNTIME_DIR", str(short / "own"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    assert runtime_directory() == short / "own"
    assert default_endpoints().backend == f"ipc://{short}/own/backend.sock"
    monkeypatch.delenv("LOADS_RUNTIME_DIR")
    assert runtime_directory() == short / "loads"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_directory().name == f"loads-{os.getuid()}"


def test_a_directory_is_made_private(short: Path) -> None:
    make_private(short / "a" / "b")
    assert stat.S_IMODE((short / "a" / "b").stat().st_mode) == 0o700
    make_private(short / "a" / "b")


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770])
def test_a_directory_that_others_can_enter_is_refused(short: Path, mode: int) -> None:
    short.chmod(mode)
    with pytest.raises(UsageError, match="Others can enter") as caught:
        make_private(short)
    assert f"chmod 700 {short}" in caught.value.hint
    assert stat.S_IMODE(short.stat().st_mode) == mode, "nothing is changed behind a user's back"


def test_a_link_is_no_private_directory(short: Path) -> None:
    """Where a link leads may change under us."""
    (short / "real").mkdir(mode=0o700)
    (short / "link").symlink_to("real")
    with pytest.raises(UsageError):
        make_private(short / "link")


def test_a_file_is_no_private_directory(short: Path) -> None:
    (short / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        make_private(short / "file")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(short: Path) -> None:
    os.chown(short, 12345, 12345)
    with pytest.raises(UsageError, match="Others can enter"):
        make_private(short)


# -- who listens there -----------------------------------------------------------------------------

OTHER = 12345  #: another user
root = pytest.mark.needs("root")  # who alone can give files away


@pytest.fixture
def runtime(short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime directory, in a place such as /tmp; it is not there."""
    short.chmod(0o1777)
    monkeypatch.setenv("LOADS_RUNTIME_DIR", str(short / "run"))
    return short / "run"


def doubt(path: Path) -> str:
    """Why a socket is not talked to; empty when it is."""
    try:
        check_place(f"ipc://{path}")
    except BrokerRefused as error:
        assert error.exit_code == ExitCode.BROKER
        assert error.hint
        return error.message
    return ""


def test_a_runtime_directory_that_others_could_make_is_made(runtime: Path) -> None:
    """Or somebody else would be the broker that an agent waits for."""
    assert not doubt(runtime / "frontend.sock")
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    runtime.rmdir()
    runtime.parent.chmod(0o700)
    assert not doubt(runtime / "frontend.sock")
    assert not runtime.exists(), "nobody else could"


def test_a_runtime_directory_that_others_could_make_stays_after_its_broker(runtime: Path) -> None:
    SocketLock(f"ipc://{runtime}/frontend.sock").release()
    assert not list(runtime.iterdir())


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o777, 0o1777])
def test_a_runtime_directory_that_others_can_enter_is_not_used(runtime: Path, mode: int) -> None:
    runtime.mkdir()
    runtime.chmod(mode)
    assert "others can enter" in doubt(runtime / "frontend.sock")


def test_a_runtime_directory_that_is_a_link_is_not_used(runtime: Path) -> None:
    (runtime.parent / "real").mkdir(mode=0o700)
    for leads in ("real", "nowhere"):
        runtime.symlink_to(leads)
        assert "is not a directory of ours" in doubt(runtime / "frontend.sock")
        runtime.unlink()


@root
def test_a_runtime_directory_of_another_user_is_not_used(runtime: Path) -> None:
    runtime.mkdir(mode=0o700)
    os.chown(runtime, OTHER, OTHER)
    assert "is not a directory of ours" in doubt(runtime / "frontend.sock")


def test_a_directory_that_only_we_can_write_to_may_be_anywhere(short: Path) -> None:
    short.chmod(0o755)
    assert not doubt(short / "frontend.sock"), "nobody is there, or comes"
    assert not doubt(short / "a" / "b" / "frontend.sock")
    (short / "frontend.sock").touch()
    assert not doubt(short / "frontend.sock")
    (short / "link").symlink_to(".")
    assert not doubt(short / "link" / "frontend.sock")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_directory_that_others_can_write_to_is_not_used(short: Path, mode: int) -> None:
    (short / "frontend.sock").touch()
    short.chmod(mode)
    for place in ("frontend.sock", "a/frontend.sock"):
        assert f"others can write to {short}" in doubt(short / place)


def test_a_socket_of_ours_in_a_place_for_all(short: Path) -> None:
    short.chmod(0o1777)
    assert "there is no socket" in doubt(short / "frontend.sock"), "anybody may make it"
    assert "others can write" in doubt(short / "a" / "frontend.sock")
    (short / "frontend.sock").touch()
    assert not doubt(short / "frontend.sock")


@root
def test_what_belongs_to_another_user(short: Path) -> None:
    short.chmod(0o1777)
    (short / "frontend.sock").touch()
    os.chown(short / "frontend.sock", OTHER, OTHER)
    assert "the socket is another user's" in doubt(short / "frontend.sock")
    (short / "theirs").mkdir(mode=0o755)
    os.chown(short / "theirs", OTHER, OTHER)
    assert "others can write" in doubt(short / "theirs" / "frontend.sock")
    (short / "link").symlink_to("/run")
    os.chown(short / "link", OTHER, OTHER, follow_symlinks=False)
    assert "another user's link" in doubt(short / "link" / "frontend.sock")


def test_a_socket_without_a_directory_is_anybodys() -> None:
    assert "is not in a directory" in doubt(Path("@loads"))


def test_what_is_no_socket_in_a_directory_is_not_looked_at() -> None:
    check_place("tcp://127.0.0.1:7780")


def test_no_socket_connects_to_what_may_be_anybodys(short: Path) -> None:
    short.chmod(0o777)
    for make in (lambda: Dealer(()), lambda: Subscriber(())):
        socket = make()
        with pytest.raises(BrokerRefused, match="may be anybody"):
            socket.connect(f"ipc://{short}/s")
        socket.close(linger=False)


# -- the lock --------------------------------------------------------------------------------------


def test_a_path_is_held_by_one_at_a_time(short: Path) -> None:
    endpoint = f"ipc://{short}/run/frontend.sock"
    first = SocketLock(endpoint)
    with pytest.raises(BrokerError, match=f"Another broker is running at {endpoint}"):
        SocketLock(endpoint)
    other = SocketLock(f"ipc://{short}/run/backend.sock")
    first.release()
    assert (short / "run").exists(), "another lives there"
    second = SocketLock(endpoint)
    second.release()
    second.release()
    other.release()
    assert not (short / "run").exists()


def test_a_tcp_endpoint_needs_no_lock() -> None:
    SocketLock("tcp://127.0.0.1:7780").release()


def test_a_lock_goes_with_its_process_however_that_ends(short: Path) -> None:
    endpoint = f"ipc://{short}/run/frontend.sock"
    script = (
        "import os, signal, sys; from loads.transport.endpoints import SocketLock;"
        "lock = SocketLock(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, endpoint], check=False)
    assert done.returncode == -9
    assert (short / "run" / "frontend.sock.lock").exists()
    SocketLock(endpoint).release()
    assert not (short / "run").exists()
