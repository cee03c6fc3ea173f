"""A run on a cluster: submitted to a broker or found there, then followed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from loads.bundle import pack_test
from loads.client import BrokerClient, Follower
from loads.clock import Clock
from loads.errors import BrokerRefused, BrokerUnreachable, LoadsError, error_from
from loads.metrics.summary import RunView
from loads.outputs import figures
from loads.outputs.base import Outputs
from loads.plan import RunPlan
from loads.protocol.messages import Wish
from loads.runners.interrupts import Interrupts, Question, interruptible, stop_notice
from loads.target import Target
from loads.transport.reactor import Reactor

WATCH = 1.0  #: seconds between two looks at how long the broker has been silent
LATE = 5.0  #: seconds; looks that are further apart mean that we did not run ourselves
QUIET = 3.0  #: seconds without an update after which the broker is asked
ASK_AGAIN = 5.0  #: seconds until it is asked once more
TELL_PLACE = 10.0  #: seconds after which the same place in the queue is told again
GIVE_UP = 30.0  #: seconds without an answer after which the run is followed no longer
GIVE_UP_STOPPING = 5.0  #: likewise, once it was asked to stop the run
LAST_WORD = 2.0  #: seconds that it has for an answer to that, if it was silent before

FindRun = Callable[[BrokerClient], str]


def submission(
    plan: RunPlan,
    target: Target,
    include: Sequence[str] = (),
    patience: float | None = 0.0,
    observers: tuple[Wish, ...] = (),
) -> FindRun:
    """Makes a new run of ``plan``, and gives its id.

    The code of ``target`` travels to the agents, with the files that ``include`` names.  The run
    may wait for agents for ``patience`` seconds, or as long as it takes if that is None.  The
    broker tells ``observers`` of its end.
    """
    bundle = pack_test(target, include)
    return lambda client: client.submit(plan, bundle, patience, observers=observers)


def known_run(name: str) -> FindRun:
    """Gives the id of a run that the broker knows, of which ``name`` may be the beginning."""
    return lambda client: client.get(name).view.run_id


class DistributedRunner:
    """Follows one run on the agents of a broker to its end, or until somebody detaches.

    ``run_id`` is empty until the run is found.
    """

    def __init__(
        self,
        find_run: FindRun,
        client: BrokerClient,
        clock: Clock,
        outputs: Outputs,
        publisher: str = "",
        terminal: int | None = None,
    ) -> None:
        """``publisher`` is where to follow the run, if not where the broker says.

        ``terminal`` is the descriptor of a terminal where somebody can answer questions.  The
        ``client`` stays open.
        """
        self.run_id = ""
        self._find_run = find_run
        self._clock = clock
        self._outputs = outputs
        self._client = client
        self._publisher = publisher
        self._terminal = terminal
        self._view: RunView | None = None
        self._place = 0
        self._place_told_at = 0.0
        self._is_missed = False
        self._heard = 0.0
        self._watched_at = 0.0
        self._asked_at = 0.0
        self._stop_asked_at: float | None = None
        self._failure: LoadsError | None = None
        self._detached = False

    def run(self) -> RunView | None:
        """Follow to the end, telling the outputs; give the final picture, None when detached.

        Raises :class:`LoadsError` when the run cannot be carried out, or is followed no longer.
        """
        client = self._client
        with Reactor(self._clock) as reactor:
            self._reactor = reactor
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
                reactor.on_signal(signal.SIGHUP, self._detach)
            with interruptible(client) as missed:  # until there is a run that can be stopped
                publisher = self._publisher or client.ping().publisher
                self.run_id = self._find_run(client)
            question = self._listen()
            for number in missed:
                signal.raise_signal(number)
            self._follower = Follower(client, publisher, self.run_id, self._changed, self._refused)
            try:
                self._heard = self._watched_at = self._clock.monotonic()
                self._follower.attach(reactor)
                reactor.every(WATCH, self._watch)
                self._ask()
                reactor.run()
            finally:
                self._follower.close()
                if question is not None:
                    question.close()
        return None if self._detached else self._result()

    def _result(self) -> RunView:
        view = self._view
        if self._failure is not None:
            if view is not None and view.started:
                self._outputs.finish(_cut_short(view, self._failure))
            raise self._failure
        assert view is not None
        if view.status == "failed":
            raise error_from(view.error_code, view.error, view.hint)
        self._outputs.finish(view)
        return view

    # -- what happens ------------------------------------------------------------------------

    def _changed(self, view: RunView) -> None:
        before, self._view = self._view, view
        self._heard = self._clock.monotonic()
        if self._is_missed:
            self._is_missed = False
            self._outputs.message("The broker is back; the run went on.")
        if view.state == "queued":
            self._tell_place(view)
        else:
            self._place = 0  # it may have to wait again
        if view.started and not (before and before.started):
            self._outputs.start(view)  # also of a run that ended before it was ever seen running
        if view.state in ("running", "stopping"):
            self._outputs.update(view)
        elif view.state == "ended":
            self._reactor.stop()

    def _tell_place(self, view: RunView) -> None:
        """When it changes, and now and then: what else changes in a busy queue is too much."""
        place, now = view.queue.place if view.queue else 0, self._clock.monotonic()
        if place != self._place or now - self._place_told_at >= TELL_PLACE:
            self._place, self._place_told_at = place, now
            self._outputs.message(queue_notice(view))

    def _refused(self, error: LoadsError) -> None:
        self._end_early(
            BrokerRefused(f"Run {self.run_id} is followed no longer: {error.message}", error.hint)
        )

    def _ask(self) -> None:
        self._asked_at = self._clock.monotonic()
        self._follower.refresh()

    def _watch(self) -> None:
        """Ask when nothing was heard for a while; give up when that is not answered for long.

        Who was stopped, or slept, for some time has missed what was said then.
        """
        now = self._clock.monotonic()
        passed, self._watched_at = now - self._watched_at, now
        if passed > LATE:
            self._heard = min(now, self._heard + passed - WATCH)
        if self._silence > self._patience:
            self._give_up()
        elif self._silence >= QUIET and now - self._asked_at >= ASK_AGAIN:
            if self._asked_at > self._heard:
                self._outputs.message(
                    f"No word from the broker for {self._silence:.0f} s; still trying."
                )
                self._is_missed = True
            self._ask()

    @property
    def _silence(self) -> float:
        """Seconds since the broker was last heard."""
        return self._clock.monotonic() - self._heard

    @property
    def _patience(self) -> float:
        """Seconds of silence after which the run is followed no longer."""
        if self._stop_asked_at is None:
            return GIVE_UP
        waited = self._clock.monotonic() - self._stop_asked_at
        if waited > LAST_WORD and self._heard + QUIET <= self._stop_asked_at:
            return 0.0
        return GIVE_UP_STOPPING if waited > GIVE_UP_STOPPING else GIVE_UP

    def _give_up(self) -> None:
        self._end_early(
            BrokerUnreachable(
                f"No broker answers at {self._client.endpoint}: run {self.run_id} is followed no "
                f"longer, after {self._silence:.0f} s of silence.",
                "Its agents stop their load by themselves when the broker is gone for good.",
            )
        )

    def _end_early(self, failure: LoadsError) -> None:
        self._failure = failure
        self._reactor.stop()

    # -- interruption ------------------------------------------------------------------------

    def _listen(self) -> Question | None:
        """Have Ctrl-C mean something."""
        interrupts = Interrupts(self._reactor, self._stop, self._stop_at_once)
        if self._terminal is not None:
            interrupts.question = Question(
                self._reactor, self._terminal, self._outputs.message, interrupts.next, self._detach
            )
        return interrupts.question

    def _detach(self) -> None:
        self._detached = True
        self._reactor.stop()

    def _stop(self) -> None:
        view = self._view
        self._outputs.message(stop_notice(view.plan) if view is not None else "Stopping the run.")
        self._ask_to_stop(None)

    def _stop_at_once(self) -> None:
        self._ask_to_stop(0.0)

    def _ask_to_stop(self, grace: float | None) -> None:
        """A broker that is silent may be coming back; who asks again waits for it no longer."""
        self._follower.stop(grace)
        if self._stop_asked_at is None:
            self._stop_asked_at = self._clock.monotonic()
        elif self._silence >= QUIET:
            self._give_up()


def queue_notice(view: RunView) -> str:
    """Where a run that waits is: ``2nd of 5 in the queue; needs 2 agents, 1 idle``."""
    queue = view.queue
    if queue is None:
        return "Waiting for agents."
    return (
        f"Waiting for agents: {figures.ordinal(queue.place)} of {queue.length:,} in the queue; "
        f"needs {figures.counted(view.plan.agents, 'agent')}, {queue.idle:,} idle."
    )


def _cut_short(view: RunView, failure: LoadsError) -> RunView:
    """What was seen of a run that is followed no longer, as its result."""
    agents = tuple(
        agent if agent.state == "ended" else replace(agent, unknown=None) for agent in view.agents
    )
    return replace(
        view,
        state="ended",
        status="incomplete",
        agents=agents,
        warnings=(*view.warnings, failure.message),
        error_code=int(failure.exit_code),
    )
