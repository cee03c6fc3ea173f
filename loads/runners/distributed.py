"""A run on a cluster: submitted to a broker, then followed."""

from __future__ import annotations

from collections.abc import Sequence

from loads.bundle import pack_test
from loads.client import BrokerClient, Follower
from loads.clock import Clock
from loads.errors import BrokerError, BrokerUnreachable, error_from
from loads.metrics.summary import RunView
from loads.outputs.base import Outputs
from loads.plan import RunPlan
from loads.runners.interrupts import Interrupts, stop_notice
from loads.target import Target
from loads.transport.reactor import Reactor

QUIET = 3.0  #: seconds without an update after which the broker is asked
GIVE_UP = 30.0  #: seconds without an answer after which the run is followed no longer


class DistributedRunner:
    """Runs one plan on the agents of a broker."""

    def __init__(
        self,
        plan: RunPlan,
        target: Target,
        clock: Clock,
        outputs: Outputs,
        endpoint: str,
        include: Sequence[str] = (),
        publisher: str = "",
    ) -> None:
        """The code of ``target`` travels to the agents, with the files that ``include`` names.

        ``publisher`` is where to follow the run, if not where the broker says.
        """
        self._plan = plan
        self._bundle = pack_test(target, include)
        self._clock = clock
        self._outputs = outputs
        self._client = BrokerClient(endpoint, clock)
        self._publisher = publisher
        self._view: RunView | None = None
        self._run_id = ""
        self._heard = 0.0
        self._failure: BrokerError | None = None

    def run(self) -> RunView:
        """Run to the end, telling the outputs; give the final picture.

        Raises :class:`LoadsError` when the run cannot be carried out, or is followed no longer.
        """
        with self._client as client, Reactor(self._clock) as reactor:
            self._reactor = reactor
            publisher = self._publisher or client.ping().publisher
            # from here on, so that no run is left behind by an interrupt while it is submitted
            Interrupts(reactor, self._stop, self._stop_at_once)
            self._run_id = client.submit(self._plan, self._bundle)
            self._follower = Follower(client, publisher, self._run_id, self._changed)
            try:
                self._heard = self._clock.monotonic()
                self._follower.attach(reactor)
                reactor.every(1.0, self._watch)
                self._follower.refresh()
                reactor.run()
                if self._failure is None:
                    self._complete()
            finally:
                self._follower.close()
        if self._failure is not None:
            raise self._failure
        assert self._view is not None
        if self._view.status == "failed":
            raise error_from(self._view.error_code, self._view.error, self._view.hint)
        self._outputs.finish(self._view)
        return self._view

    def _complete(self) -> None:
        """Ask once more at the end, unless the broker is gone and nothing is missing."""
        try:
            self._follower.refresh()
        except BrokerUnreachable:
            if self._follower.is_stale:
                raise

    def _changed(self, view: RunView) -> None:
        before, self._view = self._view, view
        self._heard = self._clock.monotonic()
        if view.started and not (before and before.started):
            self._outputs.start(view)  # also of a run that ended before it was ever seen running
        if view.state in ("running", "stopping"):
            self._outputs.update(view)
        elif view.state == "ended":
            self._reactor.stop()

    def _watch(self) -> None:
        """Ask when nothing was heard for a while; give up when that is not answered for long."""
        silence = self._clock.monotonic() - self._heard
        if silence < QUIET:
            return
        try:
            self._follower.refresh()
        except BrokerUnreachable:
            self._outputs.message(f"No word from the broker for {silence:.0f} s; still trying.")
            if silence > GIVE_UP:
                self._give_up()

    def _give_up(self) -> None:
        self._failure = BrokerUnreachable(
            f"The broker has not answered for {GIVE_UP:g} s; run {self._run_id} is followed no "
            "longer.",
            "Its agents stop their load by themselves when the broker is gone for good.",
        )
        self._reactor.stop()

    # -- interruption ------------------------------------------------------------------------

    def _stop(self) -> None:
        self._outputs.message(stop_notice(self._plan))
        self._ask_to_stop(self._plan.grace)

    def _stop_at_once(self) -> None:
        self._ask_to_stop(0.0)

    def _ask_to_stop(self, grace: float) -> None:
        try:
            self._client.stop(self._run_id, grace)
        except BrokerError as error:
            self._failure = error
            self._reactor.stop()
