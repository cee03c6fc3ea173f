"""The part of the broker's shell that has to do with keys: who gets in, and what they did."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from loads.broker.actions import Audit, Deny, Event, KeyGone
from loads.clock import Clock
from loads.errors import UsageError
from loads.transport import keys
from loads.transport.audit import AuditLog
from loads.transport.auth import Doorkeeper, is_reader
from loads.transport.endpoints import Endpoints
from loads.transport.reactor import Reactor
from loads.transport.sockets import Lock

LOOK = 0.5  #: seconds between two looks at the keys
NOTE = 5.0  #: seconds between two notes of when keys were used


class Locks:
    """The locks of a broker's sockets; none, where no socket needs one."""

    def __init__(
        self,
        wanted: Endpoints,
        insecure: bool,
        home: Path | None,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        """Raises :class:`UsageError` when others can look into the home."""
        self._clock = clock
        self._log = log
        self._home = home
        self._wanted = wanted
        self._opened: Endpoints | None = None
        self._insecure = insecure
        self._denied = 0
        self._trouble = ""
        self._door: Doorkeeper | None = None
        self._audit: AuditLog | None = None
        on_tcp = any(map(_is_tcp, (wanted.frontend, wanted.backend, wanted.publisher)))
        if home is None:
            return
        if on_tcp and not insecure:
            self._ring = keys.KeyRing(home)
            self._door = Doorkeeper(self._ring, clock.wall)
        try:
            self._audit = AuditLog(home)
        except UsageError as error:
            if self._door is not None:
                self.close()
                raise
            log.warning("%s What is done is not written down.", error.message)

    def lock(self, name: str) -> Lock | None:
        """What locks one of the sockets; None for one that needs no lock."""
        if self._door is None or not _is_tcp(getattr(self._wanted, name)):
            return None
        return self._door.lock(name)

    def opened(self, endpoints: Endpoints) -> None:
        """The sockets are bound, and so are known to the owner's commands."""
        self._opened = endpoints
        if self._door is not None:
            self._ring.open(endpoints.frontend)
        elif self._home is not None:
            try:
                keys.note_insecure(self._home, endpoints.frontend)
            except UsageError as error:
                self._log.warning("%s This user's commands may look for locks.", error.message)

    def attach(
        self, reactor: Reactor, handle: Callable[[Event], None], dismiss: Callable[[], None]
    ) -> None:
        """Answer the questions of the sockets, and tell the core whose key is withdrawn.

        That may have happened while there was no broker: then nobody is awaited in vain.
        ``dismiss`` is to break the connections of the publisher.
        """
        door, opened = self._door, self._opened
        if door is None or opened is None:
            return
        for withdrawn in door.withdrawn:
            handle(KeyGone(withdrawn.who.name, withdrawn.reason, withdrawn.hint))
        readers_too = _is_tcp(opened.publisher)
        reactor.on_readable(door, door.serve)
        reactor.every(LOOK, lambda: self._look(door, handle, dismiss if readers_too else None))
        reactor.every(NOTE, door.note_use)

    def hold(self, name: str, seconds: float) -> None:
        """Let a key open the publisher no more for a while."""
        if self._door is not None:
            self._door.hold(name, seconds)

    def _look(
        self,
        door: Doorkeeper,
        handle: Callable[[Event], None],
        dismiss: Callable[[], None] | None,
    ) -> None:
        gone = door.refresh()
        if door.trouble and door.trouble != self._trouble:
            self._log.error("%s", door.trouble)
        self._trouble = door.trouble
        for withdrawn in gone:
            self._log.warning("%s", withdrawn.reason)
            handle(KeyGone(withdrawn.who.name, withdrawn.reason, withdrawn.hint))
        if dismiss is not None and any(is_reader(withdrawn.who) for withdrawn in gone):
            dismiss()
        for complaint in door.take_complaints():
            self._log.warning("%s It is refused.", complaint)

    def note(self, action: Deny | Audit) -> None:
        """Count what was denied; write down what was done."""
        if isinstance(action, Deny):
            self._denied += 1
        elif self._audit is not None:
            try:
                self._audit.write(
                    self._clock.wall(),
                    action.what,
                    by=action.who.name,
                    role=action.who.role.value,
                    user_id=action.user_id,
                    run_id=action.run_id,
                    target=action.target,
                    outcome=action.outcome,
                )
            except OSError as error:
                self._log.error("%s cannot be written: %s.", self._audit.path, error.strerror)

    def report(self, failed: int) -> None:
        """Say what was refused since the last time; ``failed`` handshakes had no key to refuse."""
        refused = failed + (self._door.take_refused() if self._door else 0)
        if refused and self._door is None:
            self._log.warning(
                "Ended %d connections that failed to open in the last minute", refused
            )
        elif refused:
            self._log.warning(
                "Refused %d connections without a good key in the last minute", refused
            )
        if self._denied:
            self._log.warning(
                "Refused %d messages of keys without the right to them in the last minute",
                self._denied,
            )
            self._denied = 0

    def close(self) -> None:
        """Close the door and the books."""
        if self._door is not None:
            self._door.close()
            self._door = None
        if self._opened is not None and self._home is not None:
            keys.close(self._home, self._opened.frontend)
            self._opened = None
        if self._audit is not None:
            self._audit.close()
            self._audit = None


def _is_tcp(endpoint: str) -> bool:
    return endpoint.startswith("tcp://")
