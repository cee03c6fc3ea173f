"""The turns of the broker's loop: what one decides is stored together, and then carried out.

The keeper may at any time want all that the core knows, or a snapshot of a run.  What the core has
decided to store before that is in there, so it has to be given to the keeper first: what was
decided is flushed before the keeper is asked for anything that may come of itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from loads.broker.actions import Action, Event, LookedUp, LookUp, Store, Tick, ToClient
from loads.broker.core import Core
from loads.broker.keeper import Keeper
from loads.clock import Clock
from loads.protocol.messages import Refused, Reply
from loads.transport.guard import Guard


class Turns:
    """A core with its keeper.  ``do`` carries out what is neither stored nor looked up."""

    def __init__(
        self,
        core: Core,
        keeper: Keeper,
        clock: Clock,
        guard: Guard,
        do: Callable[[Action], None],
    ) -> None:
        """Have the core take up what is stored.  Raises :class:`StorageError`."""
        self._core = core
        self._keeper = keeper
        self._clock = clock
        self._guard = guard
        self._do = do
        self._decided: list[Action] = keeper.restore(core)
        self._held: deque[tuple[int, list[Action]]] = deque()  # until what is to be kept is

    def handle(self, event: Event) -> None:
        """Have the core decide; what it decides waits for the turn to be flushed."""
        self._decided += self._guard.handle(self._core, event, self._clock.monotonic())

    def _handle_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.handle(event)

    def tick(self) -> None:
        """Some time has passed."""
        self.handle(Tick())
        self.flush()  # the keeper may take all that is known, with what was just decided in it
        self._handle_all(self._keeper.tick(self._core))
        self.flush()

    def look(self) -> None:
        """The keeper has said that there is something to look at."""
        self._handle_all(self._keeper.look())
        self.flush()

    def flush(self) -> None:
        """Have stored what is to be stored; only when it is, do what else was decided."""
        while True:
            if self._decided:
                decided, self._decided = self._decided, []
                records = [action.record for action in decided if isinstance(action, Store)]
                self._handle_all(self._keeper.keep(records, self._core))
                self._held.append((self._keeper.given, decided))
            elif self._held and self._held[0][0] <= self._keeper.kept:
                for action in self._held.popleft()[1]:
                    self._carry_out(action)
            else:
                return

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, LookUp):
            asked = action
            found = self._keeper.look_up(asked, lambda reply: self._answer(asked, reply))
            self._handle_all(found)
        elif not isinstance(action, Store):
            self._do(action)

    def _answer(self, asked: LookUp, reply: Reply) -> None:
        self._do(ToClient(asked.peer, reply))
        if asked.by is not None:
            refused = reply.message if isinstance(reply, Refused) else ""
            self.handle(LookedUp(asked.by, asked.run_id, refused))
