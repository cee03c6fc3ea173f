"""Where a broker is: endpoints, their defaults, and who may reach them."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loads.errors import BrokerError, UsageError

#: The frontend that is meant behind a tunnel when none is named: the port of Loads 1.
DEFAULT_FRONTEND = "tcp://127.0.0.1:7780"
MAX_IPC_PATH = 107  #: bytes of the path of a Unix socket
_WILDCARDS = {"*", "0.0.0.0", "[::]"}  # noqa: S104 - recognised here, not bound
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+):(\d{1,5}|\*)")
# RFC 5735, section 3 and RFC 4291, section 2.5.3; a name counts that no resolver has a say in
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|localhost|\[::1\]", re.IGNORECASE)


@dataclass(frozen=True)
class Endpoints:
    """A broker's three sockets, as ZeroMQ spells them."""

    frontend: str
    backend: str
    publisher: str


def runtime_directory() -> Path:
    """The directory of this user's local sockets: ``LOADS_RUNTIME_DIR``, or below XDG's."""
    explicit = os.environ.get("LOADS_RUNTIME_DIR")
    if explicit:
        return Path(explicit)
    xdg = os.environ.get("XDG_RUNTIME_DIR")
    if xdg and Path(xdg).is_dir():
        return Path(xdg) / "loads"
    return Path(tempfile.gettempdir()) / f"loads-{os.getuid()}"


def default_endpoints() -> Endpoints:
    """Unix sockets in the runtime directory."""
    directory = runtime_directory()
    names = ("frontend", "backend", "publisher")
    return Endpoints(*(f"ipc://{directory / name}.sock" for name in names))


def make_private(directory: Path) -> None:
    """Create a directory that only we can enter, or make sure that it is one.

    Raises :class:`UsageError` when others own it or can enter it: whoever can reach the
    sockets in it can run code.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise UsageError(
            f"The directory for the sockets cannot be made: {error}.",
            "Name another with LOADS_RUNTIME_DIR.",
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UsageError(
            f"Others can enter {directory}, and whoever can reach its sockets can run code.",
            f"Run chmod 700 {directory}, or name another directory with LOADS_RUNTIME_DIR.",
        )


def check_syntax(endpoint: str) -> None:
    """Raises :class:`UsageError` for what is no endpoint."""
    scheme, separator, address = endpoint.partition("://")
    if scheme not in ("ipc", "tcp") or not separator or not address:
        raise UsageError(
            f"{endpoint} is no endpoint.", "Give tcp://HOST:PORT or ipc:///path/to/socket."
        )
    if scheme == "tcp" and not _HOST_AND_PORT.fullmatch(address):
        raise UsageError(f"{endpoint} names no host and port.", "As in tcp://127.0.0.1:7780.")
    if scheme == "ipc" and len(os.fsencode(address)) > MAX_IPC_PATH:
        raise UsageError(
            f"The path of {endpoint} is too long for a Unix socket: over {MAX_IPC_PATH} bytes.",
            "Use a shorter directory; LOADS_RUNTIME_DIR names one.",
        )


def is_loopback(endpoint: str) -> bool:
    """Whether an endpoint is a port that only this machine reaches, by any of its users."""
    host = endpoint.partition("://")[2].rpartition(":")[0]
    return endpoint.startswith("tcp://") and _LOOPBACK.fullmatch(host) is not None


def port_of(endpoint: str) -> int:
    """The port of a tcp endpoint that was bound."""
    return int(endpoint.rpartition(":")[2])


def check_bind(endpoint: str, is_safe: bool) -> None:
    """Raises :class:`UsageError` when a bind would open the cluster to a network.

    A run executes its author's code on every agent, so an open port is an open shell.
    """
    check_syntax(endpoint)
    if endpoint.startswith("tcp://") and not is_loopback(endpoint) and not is_safe:
        raise UsageError(
            f"{endpoint} can be reached from the network, and whoever reaches it can run code on "
            "your agents.",
            "Give the broker keys, as loads-broker does by itself, or add --insecure if the "
            "network is yours alone.",
        )


def reachable(advertised: str, used: str) -> str:
    """An endpoint that a broker advertises, as its peer can reach it.

    A broker bound to all interfaces does not know the name it is known by; its peer does, as it
    just ``used`` it for another of the broker's endpoints.
    """
    scheme, _, address = advertised.partition("://")
    host, _, port = address.rpartition(":")
    if scheme != "tcp" or host not in _WILDCARDS:
        return advertised
    host = used.partition("://")[2].rpartition(":")[0] if used.startswith("tcp:") else "127.0.0.1"
    return f"tcp://{host}:{port}"


def own_name() -> str:
    """What other machines probably call this one: its name if that leads here, or its address."""
    name = socket.gethostname()
    with suppress(OSError):  # for a name that only this machine itself goes by
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        if any(not str(entry[4][0]).startswith(("127.", "::1")) for entry in found):
            return name
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: an example; sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


class SocketLock:
    """Holds the path of a Unix socket, so that a second broker cannot take it from the first.

    ZeroMQ would replace the socket of a broker that is running without a word.  The kernel drops
    the lock with the process, however that ends.
    """

    def __init__(self, endpoint: str) -> None:
        self._path: str | None = None
        if not endpoint.startswith("ipc://"):
            return
        path = endpoint.partition("://")[2]
        make_private(Path(path).parent)
        while True:
            self._fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._fd)
                raise BrokerError(
                    f"Another broker is running at {endpoint}.",
                    "Use that one, stop it, or give this one endpoints of its own.",
                ) from None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._fd), os.stat(f"{path}.lock")):
                    break
            os.close(self._fd)  # its last holder removed it between our two steps
        self._path = path

    def release(self) -> None:
        """Remove the socket, the lock, and the directory if nothing else is in it."""
        if self._path is None:
            return
        for leftover in (self._path, f"{self._path}.lock"):
            with suppress(FileNotFoundError):
                os.unlink(leftover)
        os.close(self._fd)
        with suppress(OSError):  # not empty: others live there
            os.rmdir(os.path.dirname(self._path))
        self._path = None
