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

from loads.errors import BrokerError, BrokerRefused, UsageError

#: The frontend that is meant behind a tunnel when none is named: the port of Loads 1.
DEFAULT_FRONTEND = "tcp://127.0.0.1:7780"
MAX_PORT = (1 << 16) - 1
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


def endpoints_of(frontend: str, backend: str = "", publisher: str = "") -> Endpoints:
    """The endpoints of a broker of which only some are named; the others are empty.

    Who can reach a frontend on tcp has to reach the others as well: by default they are on the
    next two ports of its host.  Raises :class:`UsageError` when there are none.
    """
    default = default_endpoints()
    if not frontend.startswith("tcp://"):
        return Endpoints(
            frontend or default.frontend, backend or default.backend, publisher or default.publisher
        )
    check_syntax(frontend)
    if not backend:
        backend = _beside(frontend, 1, publisher)
    return Endpoints(frontend, backend, publisher or _beside(frontend, 2, backend))


def _beside(frontend: str, step: int, other: str) -> str:
    """The endpoint whose port is a step further; any free one if that of the frontend is."""
    host, _, port = frontend.rpartition(":")
    if port in ("0", "*"):
        return frontend
    found = f"{host}:{int(port) + step}"
    if int(port) + step > MAX_PORT or found == other:
        raise UsageError(
            f"{found} cannot be another socket of the broker at {frontend}.",
            "Name all three endpoints, with --frontend, --backend and --publisher.",
        )
    return found


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


def check_place(endpoint: str) -> None:
    """Raises :class:`BrokerRefused` where somebody else could be who listens at a Unix socket.

    Whoever is taken for the broker is given tests with their secrets, and runs code on agents.  A
    runtime directory that is not there, and that others could make, is made: it is ours then.
    """
    scheme, _, address = endpoint.partition("://")
    if scheme != "ipc":
        return
    path = Path(address)
    if address.startswith("@"):  # unix(7): an abstract socket, which anybody may have
        raise _unsafe(endpoint, "it is not in a directory")
    try:
        if path.parent == runtime_directory():
            _check_runtime(path.parent, endpoint)
        else:
            _check_folder(path.parent, endpoint)
        owner = path.lstat().st_uid
    except FileNotFoundError:
        return  # nobody is there; in a directory where nobody else can come
    except OSError as error:
        raise BrokerRefused(f"{endpoint} cannot be looked at: {error.strerror}.") from error
    if owner not in (os.getuid(), 0):
        raise _unsafe(endpoint, "the socket is another user's")


def _check_runtime(folder: Path, endpoint: str) -> None:
    if not os.path.lexists(folder):
        if _is_closed(_first_there(folder.parent)):
            return  # the broker will make it
        with suppress(UsageError):  # told below
            make_private(folder)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise _unsafe(endpoint, f"{folder} is not a directory of ours")
    if status.st_mode & 0o077:
        raise _unsafe(endpoint, f"others can enter {folder}", f"Run chmod 700 {folder}, or name")


def _check_folder(folder: Path, endpoint: str) -> None:
    there = _first_there(folder)
    if folder.is_symlink() and folder.lstat().st_uid not in (os.getuid(), 0):
        raise _unsafe(endpoint, f"{folder} is another user's link")
    if _is_closed(there):
        return
    # in a directory such as /tmp, a socket is its owner's, but one that is missing is anybody's
    if there != folder or not stat.S_ISVTX & there.stat().st_mode:
        raise _unsafe(endpoint, f"others can write to {there}")
    if not os.path.lexists(endpoint.partition("://")[2]):
        raise _unsafe(endpoint, f"there is no socket, and others can make one in {there}")


def _first_there(folder: Path) -> Path:
    """The directory, or what is there of the way to it."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _is_closed(folder: Path) -> bool:
    """Whether nobody but we and root can make or replace something in a directory."""
    status = folder.stat()
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & 0o022


def _unsafe(endpoint: str, why: str, remedy: str = "Name") -> BrokerRefused:
    return BrokerRefused(
        f"Who listens at {endpoint} may be anybody: {why}.",
        f"{remedy} a directory that only you can enter, with LOADS_RUNTIME_DIR, or --broker.",
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
        """Remove the socket, the lock, and the directory if nothing else is in it.

        In a place such as /tmp the directory stays: who waits for the next broker there could be
        given another user's in the meantime.
        """
        if self._path is None:
            return
        for leftover in (self._path, f"{self._path}.lock"):
            with suppress(FileNotFoundError):
                os.unlink(leftover)
        os.close(self._fd)
        folder = Path(self._path).parent
        with suppress(OSError):  # not empty: others live there
            if _is_closed(folder.parent):
                folder.rmdir()
        self._path = None
