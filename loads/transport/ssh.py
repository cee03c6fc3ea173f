"""Tunnels to a broker that only its own machine can reach, through OpenSSH.

One ``ssh`` is the master of a connection and forwards Unix sockets of ours, in a directory that
only we can enter, to endpoints on the other side.  An endpoint that is learned later, as the
publisher's is from the broker, is added over the same connection, so that its user is asked for
a password or the confirmation of a key once at most.  So is the token that a locked broker leaves
its owner: whoever may read it there is its owner, and needs no other.

``ssh`` is found, configured and authenticated as on its user's command line.  It is the child of
a small shell that ends it when a pipe from us is closed: when we close the tunnel, and also when
we are killed.  Ctrl-C reaches neither, because the run is still to be stopped through the tunnel.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from loads.errors import BrokerRefused, BrokerUnreachable, UsageError
from loads.transport.arguments import token_in
from loads.transport.endpoints import MAX_IPC_PATH, check_syntax, is_loopback, port_of
from loads.transport.home import HOME_IN_SHELL
from loads.transport.pairs import BROKER_KEY
from loads.transport.tokens import Access, read_token

_POLL = 0.02  #: seconds between two looks whether ssh is through
_CONTROL_TIME = 15.0  #: seconds that a connection that is there may take for another forward
_SUFFIX = 20  #: bytes that ssh adds to the path of its control socket while it makes it

_ABANDONED = "loads-broker-has-ended"  #: what a home says of a port: keys, but no broker

# After its first argument, a directory, comes a command, which is run with Ctrl-C ignored until it
# ends, or until our end of standard input is closed; then the directory goes as well.
_KEEPER = """
trap '' INT
exec 3<&0
folder=$1
shift
"$@" </dev/null 3<&- &
ssh=$!
{ read -r _; rm -rf -- "$folder"; kill "$ssh"; } <&3 2>/dev/null &
watcher=$!
wait "$ssh"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""
_OPTIONS = {
    "ConnectTimeout": "10",
    "ControlPersist": "no",
    "ExitOnForwardFailure": "yes",
    "ServerAliveCountMax": "3",
    "ServerAliveInterval": "5",
    "StreamLocalBindMask": "0177",
    "StreamLocalBindUnlink": "yes",  # of a tunnel before this one that broke
}
_DESTINATION = re.compile(
    r"(?P<host>([^\s:@]+@)?([^\s:@\[\]]+|\[[0-9a-fA-F:.]+\]))(:(?P<port>\d{1,5}))?"
)

#: What ssh says, and what to do about it.
_HINTS = {
    "Host key verification failed": "Connect once by hand, with ssh {to}, to accept its key.",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "Find out why before you trust the new key.",
    "Permission denied": "See that ssh {to} works by itself; ssh-add gives it the right key.",
    "Could not resolve hostname": "Is the name right?",
    "prohibited": "The server there does not allow forwarding: see AllowTcpForwarding.",
    "connect failed: open failed": "Is the broker running there, at that endpoint, and does the "
    "server allow AllowStreamLocalForwarding?",
    "open failed": "Is the broker running there? Name its endpoint with --broker, as it is seen "
    "from there.",
}


@dataclass(frozen=True)
class Destination:
    """Where ssh connects to: a host, a user's host, or a name out of ssh's configuration."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        return f"-p {self.port} {self.host}" if self.port else self.host


def parse_destination(text: str) -> Destination:
    """Read ``user@host:port``, of which only the host is needed.  Raises :class:`UsageError`."""
    match = _DESTINATION.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    # what begins with a dash would be an option to ssh
    if match is None or text.startswith("-") or not (port is None or 0 < port < 1 << 16):
        raise UsageError(f"--ssh {text} names no host.", "As in --ssh user@host or user@host:22.")
    return Destination(match["host"].replace("[", "").replace("]", ""), port)


class Tunnel:
    """Forwards endpoints of another machine to sockets here, from the first that is asked for."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._forwards: dict[str, str] = {}  # what is forwarded to which of our sockets
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def to(self, endpoint: str) -> str:
        """The endpoint here that leads to ``endpoint`` as the other side knows it.

        Waits until ssh is connected, asking its user what it has to.  Raises
        :class:`UsageError` without ssh, :class:`BrokerUnreachable` when that cannot connect.
        """
        check_syntax(endpoint)
        if endpoint not in self._forwards:
            place = self._place(f"{len(self._forwards)}.sock")
            self._forwards[endpoint] = place
            if self._process is None:
                self._start()
                self._wait_for(place)
            else:
                self._add(endpoint)
        return f"ipc://{self._forwards[endpoint]}"

    def unlocked(self, access: Access) -> Access:
        """An access with the key that the user has there, if it comes with none of its own.

        As on one machine, the broker's owner has one for its loopback endpoints.  Raises
        :class:`BrokerRefused` when that user has keys, but no broker there.
        """
        if access.credentials is not None or not is_loopback(access.endpoint):
            return access
        token = self._owner_token(access.endpoint)
        return replace(access, credentials=read_token(token).credentials) if token else access

    def _owner_token(self, endpoint: str) -> str:
        """What the broker's home there holds for a port; empty when it is nothing.

        It is looked for in all that is said, because a shell may greet whoever enters it.
        """
        note, key = (
            f'"{HOME_IN_SHELL}/brokers/{port_of(endpoint)}"',
            f'"{HOME_IN_SHELL}/{BROKER_KEY}"',
        )
        script = f"cat -- {note} || {{ test -e {key} && echo {_ABANDONED}; }}"
        done = self._ask("-T", *self._address(), f"exec sh -c '{script}'")
        said = done.stdout.decode(errors="replace")
        if _ABANDONED in said.split():  # whoever has the port now may be anybody
            raise BrokerRefused(
                f"No broker of the user at {self.destination} runs at {endpoint} there.",
                "Start one there with loads-broker, or give a token of the one that is meant.",
            )
        return token_in([said])

    def mend(self) -> None:
        """Start ssh again when it has ended; the sockets find each other when it is through."""
        if self._process is not None and self._process.poll() is not None:
            self._stop()
            self._start()

    @property
    def complaint(self) -> str:
        """What ssh said last, in one line; empty when it said nothing."""
        lines = [line.strip() for line in self._said().splitlines() if line.strip()]
        return lines[-1].removesuffix(".") if lines else ""

    def hint(self, otherwise: str = "") -> str:
        """What to do about what ssh said."""
        said = self._said()
        found = (hint for words, hint in _HINTS.items() if words in said)
        return next(found, otherwise).replace("{to}", str(self.destination))

    def close(self) -> None:
        """End ssh, and leave nothing behind."""
        self._stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._forwards.clear()

    # -- ssh -------------------------------------------------------------------------------------

    def _start(self) -> None:
        program = _program()
        options = [f"-o{name}={value}" for name, value in _OPTIONS.items()]
        forwards = [f"-L{_forward(*pair)}" for pair in self._forwards.items()]
        command = [program, "-M", "-N", "-T", *options, *forwards, *self._address()]
        with open(self._place("ssh.log"), "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - ssh, as the user asked for
                ["/bin/sh", "-c", _KEEPER, "sh", str(self._folder), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def _wait_for(self, place: str) -> None:
        """Until ssh listens for us: then it is connected and the other side has let it in."""
        assert self._process is not None
        while not os.path.exists(place):
            if self._process.poll() is not None and not os.path.exists(place):
                raise self._cannot_connect()
            time.sleep(_POLL)

    def _cannot_connect(self) -> BrokerUnreachable:
        why = f": {self.complaint}" if self.complaint else ""
        error = BrokerUnreachable(f"ssh {self.destination} failed{why}.", self.hint())
        self._stop()
        return error

    def _add(self, endpoint: str) -> None:
        """Forward one more endpoint over the connection that is there."""
        forward = f"-L{_forward(endpoint, self._forwards[endpoint])}"
        done = self._ask("-O", "forward", forward, *self._address())
        if done.returncode:
            del self._forwards[endpoint]
            said = done.stderr.decode(errors="replace").strip()
            raise BrokerUnreachable(
                f"ssh {self.destination} cannot forward {endpoint}: {said}.", self.hint()
            )

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Have ssh do something over the connection that is there, without asking its user."""
        command = [_program(), "-oBatchMode=yes", "-oControlMaster=no", *arguments]
        try:
            return subprocess.run(  # noqa: S603 - the same ssh
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_CONTROL_TIME,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, b"", b"it takes too long")

    def _address(self) -> list[str]:
        port = [f"-p{self.destination.port}"] if self.destination.port else []
        return ["-S", self._place("ctl"), *port, "--", self.destination.host]

    def _stop(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # which has the shell end ssh
        self._process.wait()
        self._process = None

    def _place(self, name: str) -> str:
        """The path of a file in our directory."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="loads-ssh-"))
        path = str(self._folder / name)
        if len(os.fsencode(path)) + _SUFFIX > MAX_IPC_PATH:
            raise UsageError(
                f"The path of {path} is too long for a Unix socket.",
                "Name a shorter directory for temporary files with TMPDIR.",
            )
        return path

    def _said(self) -> str:
        if self._folder is None:
            return ""
        try:
            return (self._folder / "ssh.log").read_text(errors="replace")
        except OSError:
            return ""


def _program() -> str:
    program = shutil.which("ssh")
    if program is None:
        raise UsageError("--ssh needs the program ssh, which is not there.", "Install OpenSSH.")
    return program


def _forward(endpoint: str, place: str) -> str:
    """A forward as ssh spells it: our socket, then theirs."""
    return f"{place}:{endpoint.partition('://')[2]}"
