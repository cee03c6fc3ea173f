"""Who is heard: the rights of whoever speaks, and the record of what they did."""

from __future__ import annotations

from dataclasses import dataclass, replace

from loads.broker.actions import (
    Audit,
    Deny,
    FromAgent,
    FromClient,
    LookedUp,
    LookUp,
    NotEntitled,
    ToClient,
)
from loads.broker.book import Book
from loads.broker.clients import Clients
from loads.broker.registry import Registry
from loads.errors import ExitCode
from loads.protocol import messages as m
from loads.protocol.roles import Who, may, refusal

#: What is written down for good, and what it is called there.
AUDITED: dict[type[m.Message], str] = {m.Submit: "submit", m.StopRun: "stop", m.Purge: "purge"}
MAX_AUDITED = 200  #: characters of what a client names, or is told, in the record
SAME = 60.0  #: seconds in which what one key is refused is written down once


@dataclass
class _Refusals:
    """What a key was refused ``since`` that was written down last: how often more, and the last."""

    since: float
    last: Audit
    more: int = 0


class Gate:
    """Looks at messages before the rest of the core does, and at answers after it."""

    def __init__(self, book: Book, registry: Registry, clients: Clients) -> None:
        self._book = book
        self._registry = registry
        self._clients = clients
        self._refused: dict[tuple[str, str], _Refusals] = {}  # by key and what it wanted

    def admits_agent(self, event: FromAgent) -> bool:
        """Whether the sender may say this on the backend; if not, it is sent away."""
        kind = type(event.message)
        if may(event.who, kind):
            return True
        self.turn_away(NotEntitled(event.peer, event.who, kind))
        return False

    def admits_client(self, event: FromClient) -> bool:
        """Whether the sender may ask for this; if not, that is its answer."""
        kind, message = type(event.message), event.message
        if may(event.who, kind) or not isinstance(message, m.Request):
            return True
        self.turn_away(NotEntitled(event.peer, event.who, kind, message.request))
        return False

    def turn_away(self, event: NotEntitled) -> None:
        """Who has no right to what it says is told so, and that is counted."""
        self._book.do(Deny(event.who, event.kind.__name__))
        reason, hint = refusal(event.who, event.kind)
        if event.kind not in m.FROM_CLIENT:
            self._registry.refuse(event.peer, reason, hint)
            return
        refused = m.Refused(event.request, int(ExitCode.BROKER), reason, hint)
        self._book.do(ToClient(event.peer, refused))
        if event.kind in AUDITED:
            self._write_refused(Audit(AUDITED[event.kind], event.who), reason)

    def note(self, event: FromClient) -> None:
        """Write down what was asked for and how it was answered, if it is of that kind."""
        message, what = event.message, AUDITED.get(type(event.message))
        if what is None:
            return
        plan = message.plan if isinstance(message, m.Submit) else None
        run_id = message.run_id if isinstance(message, m.StopRun) else ""
        refused = ""
        for action in self._book.decided:
            if isinstance(action, LookUp):
                return  # what comes of it is told later
            if isinstance(action, ToClient) and isinstance(action.message, m.Accepted):
                run_id = action.message.run_id
            elif isinstance(action, ToClient) and isinstance(action.message, m.RunSnapshot):
                run_id = action.message.view.run_id  # of which the beginning may have been given
            elif isinstance(action, ToClient) and isinstance(action.message, m.Purged):
                run_id = " ".join(action.message.run_ids)
            elif isinstance(action, ToClient) and isinstance(action.message, m.Refused):
                refused = action.message.message
        user_id = plan.config.get("user_id", "") if plan else ""
        target = plan.target if plan else ""
        audit = Audit(what, event.who, run_id, _clipped(user_id), _clipped(target))
        if refused:
            self._write_refused(audit, refused)
        else:
            self._book.do(audit)

    def note_stopped(self, event: LookedUp) -> None:
        """Write down that a run which was to be stopped was not there, or had ended."""
        audit = Audit(AUDITED[m.StopRun], event.by, event.run_id, outcome="had ended")
        if event.refused:
            self._write_refused(audit, event.refused)
        else:
            self._book.do(audit)

    def _write_refused(self, audit: Audit, reason: str) -> None:
        """At once, or how often in a minute: a key that is refused may try as fast as it can."""
        audit = replace(audit, outcome=f"refused: {_clipped(reason)}")
        known = self._refused.get(_wanted(audit.who, audit.what))
        if known is not None:
            known.last, known.more = audit, known.more + 1
            return
        self._refused[_wanted(audit.who, audit.what)] = _Refusals(self._book.now, audit)
        self._book.do(audit)

    def tick(self) -> None:
        """Write down how often more somebody was refused the same."""
        for wanted, known in list(self._refused.items()):
            if self._book.now - known.since < SAME:
                continue
            if not known.more:
                del self._refused[wanted]
                continue
            times = f"{known.more} time{'s' if known.more > 1 else ''} more"
            outcome = known.last.outcome.replace("refused", f"refused {times}", 1)
            self._book.do(replace(known.last, outcome=outcome))
            known.since, known.more = self._book.now, 0


def _wanted(who: Who, what: str) -> tuple[str, str]:
    return who.name, what


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_AUDITED else text[: MAX_AUDITED - 4] + " ..."
