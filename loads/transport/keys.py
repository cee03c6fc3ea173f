"""The keys that a broker knows, as files in its home.

::

    broker.key          the broker's own pair
    owner.key           the pair of the user that the broker runs as
    keys/NAME           what is known of a key that was given away: never its secret half
    used/NAME           empty; when it was changed is when the key was last used
    brokers/PORT        the owner's token for a locked broker that runs on this machine, or that
                        one without locks does
    frontend            where the last broker was reached, for tokens

Files are written whole or not at all, so that the broker and ``loads-keys`` need no lock between
them.  A name is never used twice: a revoked key stays on the list.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from loads.errors import UsageError
from loads.protocol.roles import OWNER, UNLOCKED, Role, Who
from loads.transport.endpoints import port_of, reachable
from loads.transport.home import load_private, make_home, read_private, write_private
from loads.transport.pairs import BROKER_KEY, KEY, OWNER_KEY, Pair, kept_pair, make_pair
from loads.transport.tokens import INSECURE, Access, Credentials, make_token

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Errors that are a file's own; by others, such as too few descriptors, nothing is known of it.
_OF_A_FILE = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG}
_LATEST = 1e11  #: seconds; no time of a key is later


@dataclass(frozen=True)
class Key:
    """A key that was given away.  Times are seconds since the Unix epoch, and 0 is never."""

    name: str
    role: str
    public: str
    created: float
    expires: float = 0.0
    revoked: float = 0.0
    used: float = 0.0

    @property
    def who(self) -> Who:
        return Who(self.name, Role(self.role))

    def state(self, now: float) -> str:
        """``valid``, ``revoked`` or ``expired``."""
        if self.revoked:
            return "revoked"
        return "expired" if 0 < self.expires <= now else "valid"

    def check(self) -> None:
        """Raises ``ValueError`` or ``TypeError`` for what is no key."""
        Role(self.role)
        if len(bytes.fromhex(self.public)) != KEY:
            raise ValueError("a key has 32 bytes")
        if not all(0 <= time < _LATEST for time in (self.created, self.expires, self.revoked)):
            raise ValueError("there is no such time")


class KeyRing:
    """The keys in a home."""

    def __init__(self, home: Path) -> None:
        """Raises :class:`UsageError` when others can look into the home."""
        self.home = make_home(home)
        self._keys = self._folder("keys")

    def _folder(self, name: str) -> Path:
        folder = self.home / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made: {error.strerror}.") from error
        return folder

    # -- the broker's own ------------------------------------------------------------------------

    @property
    def is_new(self) -> bool:
        """Whether the broker has no key yet."""
        return not (self.home / BROKER_KEY).exists()

    def broker(self) -> Pair:
        """The broker's key pair, which is made if there is none."""
        return kept_pair(self.home / BROKER_KEY)

    def owner(self) -> Pair:
        """The pair of the user that the broker runs as, which is made if there is none."""
        return kept_pair(self.home / OWNER_KEY)

    def open(self, frontend: str) -> None:
        """A locked broker runs here: let its own user's commands find the key."""
        write_private(self.home / "frontend", frontend.encode() + b"\n")
        if not frontend.startswith("tcp://"):
            return
        folder, port = self._folder("brokers"), str(port_of(frontend))
        own = Credentials(self.broker().public, self.owner().secret, OWNER.name, Role.OWNER)
        write_private(folder / port, make_token(Access(frontend, own)).encode() + b"\n")

    # -- keys that are given away ----------------------------------------------------------------

    def add(self, name: str, role: Role, at: str, now: float, expires: float = 0.0) -> str:
        """Make a key; gives its token, which is kept nowhere.  Raises :class:`UsageError`."""
        if not _NAME.fullmatch(name) or name == UNLOCKED.name:
            raise UsageError(
                f"{name!r} is no name for a key.",
                "A name has up to 64 letters, digits, dots, dashes and underscores, and "
                f"{UNLOCKED.name} means whoever needs no key.",
            )
        pair, broker = make_pair(), self.broker()
        key = Key(name, role.value, pair.public.hex(), now, expires)
        try:
            write_private(self._keys / name, _packed(key), replace=False)
        except FileExistsError:
            raise UsageError(
                f"There is, or was, a key of the name {name}.",
                "Give the new one another name; loads-keys list shows them all.",
            ) from None
        return make_token(Access(at, Credentials(broker.public, pair.secret, name, role, expires)))

    def take_back(self, name: str) -> None:
        """Forget a key that was added a moment ago, and whose token nobody was given."""
        with suppress(OSError):
            os.unlink(self._keys / name)

    def revoke(self, name: str, now: float) -> Key:
        """A key is good for nothing any more.  Raises :class:`UsageError` when there is none."""
        try:
            key = self._read(self._keys / name) if _NAME.fullmatch(name) else None
        except FileNotFoundError:
            key = None
        except OSError as error:
            raise UsageError(f"The key {name} cannot be read: {error.strerror}.") from error
        if key is None:
            raise UsageError(f"There is no key {name}.", "loads-keys list shows them all.")
        if not key.revoked:
            key = replace(key, revoked=now)
            write_private(self._keys / name, _packed(key))
        return key

    def keys(self) -> tuple[list[Key], list[str]]:
        """All keys by name, and what is wrong with files that hold none.

        Raises ``OSError`` when it cannot be told what keys there are.
        """
        found, complaints = [], []
        for path in sorted(self._keys.iterdir()):
            if not _NAME.fullmatch(path.name):
                continue
            try:
                found.append(self._read(path))
            except FileNotFoundError:
                continue
            except UsageError as error:
                complaints.append(error.message)
            except OSError as error:
                if error.errno not in _OF_A_FILE:
                    raise
                complaints.append(f"{path} cannot be read: {error.strerror}.")
        return found, complaints

    def _read(self, path: Path) -> Key:
        content = load_private(path)
        try:
            key = Key(**json.loads(content))
            key.check()
            if key.name != path.name:
                raise ValueError("it is another's")
        except (ValueError, TypeError, RecursionError):
            raise UsageError(f"{path} holds no key.") from None
        with suppress(OSError):  # when it was used is only good to know
            return replace(key, used=(self.home / "used" / path.name).stat().st_mtime)
        return key

    @property
    def version(self) -> int:
        """A number that changes when a key is added or revoked.  Raises ``OSError``."""
        return self._keys.stat().st_mtime_ns

    def note_use(self, names: Iterable[str], now: float) -> None:
        """These keys were used."""
        folder = self.home / "used"
        with suppress(OSError):  # a disk that is full keeps nobody out
            folder.mkdir(mode=0o700, exist_ok=True)
        for name in names:
            path = folder / name
            with suppress(OSError):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
                os.utime(path, (now, now))

    # -- where the broker is ---------------------------------------------------------------------

    def frontend(self, host: str) -> str:
        """The frontend of the last broker of this home, for a peer that calls this machine
        ``host``.  Raises :class:`UsageError` when there was none, or it was on a Unix socket.
        """
        hint = "Start loads-broker with tcp endpoints first, or say where with --at."
        try:
            endpoint = read_private(self.home / "frontend").decode().strip()
        except FileNotFoundError:
            raise UsageError("It is not known where the broker is.", hint) from None
        if not endpoint.startswith("tcp://"):
            raise UsageError(f"The broker is at {endpoint}, which needs no keys.", hint)
        return reachable(endpoint, f"tcp://{host}:0")


def note_insecure(home: Path, frontend: str) -> None:
    """A broker without locks runs here, so that its own user's commands need none of its keys.

    Nothing else has them talk to what may be another user's broker.  Raises :class:`UsageError`.
    """
    if frontend.startswith("tcp://"):
        folder = make_home(home / "brokers")
        write_private(folder / str(port_of(frontend)), INSECURE.encode() + b"\n")


def close(home: Path, frontend: str) -> None:
    """No broker runs at ``frontend`` any more."""
    if frontend.startswith("tcp://"):
        with suppress(OSError):
            os.unlink(home / "brokers" / str(port_of(frontend)))


def _packed(key: Key) -> bytes:
    return json.dumps(asdict(replace(key, used=0.0)), indent=1).encode() + b"\n"
