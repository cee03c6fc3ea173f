"""The broker as a function: events in, actions out.

Nothing here waits, sends, reads a clock or makes up an identifier.  The shell
(:mod:`loads.broker.server`) feeds :meth:`Core.handle` and carries out what it returns.

The core hears who speaks and passes it on: to the :mod:`~loads.broker.registry`, which knows the
agents, to the :mod:`~loads.broker.runs` and their :mod:`~loads.broker.endings`, and to the
:mod:`~loads.broker.clients` for an answer; unless :mod:`~loads.broker.access` says that the speaker
has no right to it.  Whatever happened, the :mod:`~loads.broker.queue` may have a run whose turn has
come.  They share a :mod:`~loads.broker.book`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from loads.broker.access import Gate
from loads.broker.actions import (
    Action,
    Event,
    FromAgent,
    FromClient,
    KeyGone,
    LookedUp,
    NotEntitled,
    Observed,
    Removed,
    StorageFailed,
    StorageWorks,
    Stored,
    Tick,
    ToAgent,
    Unwelcome,
)
from loads.broker.archive import Archive
from loads.broker.book import Book
from loads.broker.clients import Clients
from loads.broker.endings import Endings
from loads.broker.handover import Handover
from loads.broker.queue import Queue
from loads.broker.registry import Registry
from loads.broker.runs import Runs
from loads.broker.settings import Settings
from loads.broker.shelf import Shelf
from loads.broker.state import Agent, Run
from loads.errors import RemoteProtocolError
from loads.protocol import messages as m
from loads.protocol.dialogue import OfRun
from loads.protocol.roles import UNLOCKED
from loads.storage.base import Heading, Record, StoredRun

__all__ = ["Core", "Settings"]


SAME_REFUSAL = 60.0  #: seconds for which the same refusal is not logged again
OTHER_REFUSAL = 1.0  #: likewise for another one: a hostile peer can make up many


class Core:
    """All that the broker decides."""

    def __init__(self, settings: Settings) -> None:
        self._book = Book(settings)
        handover = Handover(self._book)
        self._endings = Endings(self._book, handover)
        self._runs = Runs(self._book, handover, self._endings)
        self._archive = Archive(self._book)
        self._shelf = Shelf(self._book)
        self._registry = Registry(self._book, self._runs, self._endings)
        self._queue = Queue(self._book, self._runs)
        self._clients = Clients(self._book, self._runs, self._endings, self._queue)
        self._refused = ("", -math.inf)  # what was logged of refusals last, and when
        self._gate = Gate(self._book, self._registry, self._clients)
        self._from_agent: dict[type[m.Message], Callable[[Agent, Any], None]] = {
            m.Ready: self._runs.on_ready,
            m.CannotRun: self._endings.on_cannot_run,
            m.Extended: self._runs.on_extended,
            m.Report: self._runs.on_report,
            m.Finished: self._endings.on_finished,
            m.Bye: self._registry.take_leave,
            m.Heartbeat: self._registry.note_load,
        }

    @property
    def settings(self) -> Settings:
        """What the shell has told."""
        return self._book.settings

    @property
    def agents(self) -> dict[str, Agent]:
        """The registered agents, by their identifiers."""
        return self._book.agents

    @property
    def runs(self) -> dict[str, Run]:
        """The runs that are not forgotten, by their identifiers."""
        return self._book.runs

    @property
    def decided(self) -> list[Action]:
        """What :meth:`handle` gave last; when it raised, as far as it had come."""
        return self._book.decided

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about ``event``, which happened ``now`` on the monotonic clock, in order."""
        who = event.who if isinstance(event, FromAgent | FromClient) else UNLOCKED
        self._book.open(now, who, event.body if isinstance(event, FromAgent) else b"")
        self._registry.excuse_all()
        if isinstance(event, FromAgent):
            if self._gate.admits_agent(event):
                self._hear_agent(event.peer, event.message)
        elif isinstance(event, FromClient):
            if self._gate.admits_client(event):
                self._clients.hear(event)
                self._gate.note(event)
        elif isinstance(event, Unwelcome | NotEntitled | LookedUp):
            self._hear_of_peers(event)
        elif isinstance(event, Observed):
            self._endings.on_observed(event)
        elif isinstance(event, KeyGone):
            self._registry.send_away(event)
        elif isinstance(event, Tick):
            ticks = (self._registry.tick, self._endings.tick, self._gate.tick, self._book.tick)
            self._book.each(ticks, lambda tick: tick())
        else:
            self._hear_storage(event)
        if not _changes_numbers_only(event):
            self._queue.serve()
            self._archive.note(states_only=isinstance(event, FromAgent))
            self._shelf.clear()
        return self.decided

    def restore(
        self, going: Iterable[StoredRun], ended: Iterable[Heading], now: float
    ) -> list[Action]:
        """Take up what another broker has left in the storage, before anything is handled."""
        self._book.open(now)
        self._archive.restore(going, ended)
        self._queue.serve()
        self._archive.note()
        self._shelf.clear()
        return self.decided

    def compact(self, run_id: str) -> list[Record]:
        """What a storage may keep in place of all deltas of a run so far."""
        return self._archive.compact(run_id)

    def everything(self) -> list[Record]:
        """What a storage is to keep that has missed something."""
        return [*self._archive.everything(), *self._shelf.everything()]

    def _hear_of_peers(self, event: Unwelcome | NotEntitled | LookedUp) -> None:
        if isinstance(event, Unwelcome):
            self._refuse(event)
        elif isinstance(event, NotEntitled):
            self._gate.turn_away(event)
        else:
            self._gate.note_stopped(event)

    def _hear_storage(self, event: StorageFailed | StorageWorks | Stored | Removed) -> None:
        if isinstance(event, StorageFailed):
            self._archive.warn(f"Not stored, and lost if the broker ends: {event.reason}")
            self._shelf.is_failing = True
        elif isinstance(event, StorageWorks):
            self._archive.reassure()
            self._shelf.is_failing = False
        elif isinstance(event, Stored):
            self._shelf.stored(event.run_ids)
        else:
            self._archive.unlist(event.run_ids)
            self._shelf.removed(event.run_ids)

    def _refuse(self, event: Unwelcome) -> None:
        """Both sides say why: who started the peer may look here or there."""
        refuser = self._clients if event.is_client else self._registry
        refuser.refuse(event.peer, event.reason, event.hint)
        who = "A client" if event.is_client else "An agent"
        text = f"{who} is refused. {event.reason}"
        last, at = self._refused
        if self._book.now - at >= (SAME_REFUSAL if text == last else OTHER_REFUSAL):
            self._refused = (text, self._book.now)
            self._book.log("warning", text)

    def _hear_agent(self, peer: bytes, message: m.Message) -> None:
        if isinstance(message, m.Register):
            self._registry.register(peer, message)
            return
        agent = self._registry.at(peer)
        if agent is None:
            if isinstance(message, m.LastWords):
                self._registry.hear_last_words(peer, message)
            elif not isinstance(message, m.Bye):
                self._book.do(ToAgent(peer, m.WhoAreYou()))
            return
        silence = agent.liveness.silence(self._book.now)
        agent.liveness.heard = self._book.now
        if silence > self._book.settings.lapse and agent.run_id:
            _, part = self._book.part_of(agent)
            part.excuse(silence, self._book.settings.lapse)
        try:
            in_time = agent.link.received(message)
        except RemoteProtocolError as error:
            self._book.mention("warning", f"Agent {agent.agent_id}: {error.message}")
            return
        handler = self._from_agent.get(type(message))
        if in_time and handler is not None:
            handler(agent, message)
        elif not in_time and isinstance(message, OfRun) and message.run_id != agent.run_id:
            self._book.tell(agent, m.Release(message.run_id))  # it has missed that


def _changes_numbers_only(event: Event) -> bool:
    """Most of what is heard: nothing that a run in the queue waits for, and no change of state."""
    return isinstance(event, FromAgent) and isinstance(event.message, m.Report | m.Heartbeat)
