"""The agent's shell: socket, clock, files and processes around :mod:`loads.agent.core`."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from loads import __version__, descriptors
from loads.agent.actions import (
    BoxLoad,
    BrokerVersion,
    DropExtension,
    DropRun,
    Event,
    ExtensionFailed,
    ExtensionReady,
    FromBroker,
    Leave,
    LoadFailed,
    Log,
    Measured,
    PrepareExtension,
    PrepareRun,
    SampleWorker,
    StartExtension,
    StartWorkers,
    StopWorkers,
    Terminate,
    Tick,
    ToBroker,
    WorkersReady,
)
from loads.agent.core import Core, Settings
from loads.agent.dependencies import Installation
from loads.agent.last_words import Errand
from loads.bundle import copy_to, unpack
from loads.clock import Clock
from loads.errors import BrokerUnreachable, ExitCode, LoadsError, RemoteProtocolError
from loads.plan import RunPlan
from loads.protocol.codec import VersionMismatch
from loads.protocol.messages import TO_AGENT
from loads.supervisor import AllReady, CannotStart, Happening, Supervisor, workers_for
from loads.transport.guard import Guard
from loads.transport.reactor import Reactor
from loads.transport.requester import Requester
from loads.transport.sockets import Dealer
from loads.transport.tokens import Access

TICK = 0.05  #: seconds
LOAD_INTERVAL = 5.0  #: seconds; the kernel itself updates load averages as often
GARBAGE_INTERVAL = 60.0  #: seconds between two lines about garbage
SCRATCH = "loads-run-"
OWN = 0  #: the number of an agent's own load; those that it takes over count from 1

log = logging.getLogger("loads.agent")


class Server:
    """An agent with its socket and, during a run, its workers."""

    def __init__(self, backend: Access, workers: int, clock: Clock, orphan_timeout: float) -> None:
        self._clock = clock
        self._backend = backend
        self._supervisors: dict[int, Supervisor] = {}  # by the number of the load
        self._ready: set[int] = set()
        self._asked: dict[int, float] = {}
        self._origin = 0.0
        self._libraries = ""
        self._installing: Installation | None = None
        self._watched: list[int] = []
        self._scratch = ""
        self._leftovers: list[str] = []
        self._garbage = 0
        self._leaving: Leave | None = None
        self._reactor: Reactor | None = None
        self._guard = Guard(log)
        self._socket = Dealer(TO_AGENT)
        self._socket.dial(backend, "backend")
        host = socket.gethostname()
        self.agent_id = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:4]}"
        self._core = Core(
            Settings(
                agent_id=self.agent_id,
                host=host,
                pid=os.getpid(),
                workers=workers,
                version=__version__,
                cores=os.cpu_count() or 0,
                orphan_timeout=orphan_timeout,
            ),
            clock.monotonic(),
        )

    def run(self) -> None:
        """Serve until asked to leave.  Raises :class:`LoadsError` when the broker sends it away."""
        _sweep()
        descriptors.raise_limit()  # a few for each worker
        with Reactor(self._clock) as reactor:
            self._reactor = reactor
            reactor.on_readable(self._socket, self._read)
            reactor.on_readable(self._socket.monitor, self._look_at_connection)
            reactor.every(TICK, self._tick)
            reactor.every(GARBAGE_INTERVAL, self._report_garbage)
            reactor.every(LOAD_INTERVAL, self._look_at_box)
            for number in (signal.SIGTERM, signal.SIGINT):
                reactor.on_signal(number, lambda: self._handle(Terminate("it was asked to")))
            self._look_at_box()
            self._tick()
            try:
                reactor.run()
            finally:
                self._drop()
        if self._leaving is not None and self._leaving.code != ExitCode.OK:
            error = LoadsError(self._leaving.message, self._leaving.hint)
            error.exit_code = ExitCode(self._leaving.code)
            raise error

    def close(self) -> None:
        """Leave nothing behind."""
        self._drop()
        self._socket.close()

    # -- events ----------------------------------------------------------------------------------

    def _read(self) -> None:
        while True:
            try:
                message = self._socket.receive()
            except VersionMismatch as error:
                self._handle(BrokerVersion(error.message, error.hint))
                return
            except RemoteProtocolError as error:
                self._garbage += 1
                log.debug("Dropped a message: %s", error.message)
                continue
            if message is None:
                return
            self._handle(FromBroker(message))

    def _report_garbage(self) -> None:
        if self._garbage:
            log.warning("Dropped %d messages that made no sense in the last minute", self._garbage)
            self._garbage = 0

    def _look_at_connection(self) -> None:
        refusal = self._socket.refusal()
        if refusal is not None:
            self._leave(Leave(int(refusal.exit_code), refusal.message, refusal.hint))

    def _tick(self) -> None:
        self._handle(Tick())
        self._spawn_when_installed()
        self._poll_workers()

    def _look_at_box(self) -> None:
        with suppress(OSError):  # not every system tells
            self._handle(BoxLoad(os.getloadavg()[0]))

    def _poll_workers(self) -> None:
        if not self._supervisors:
            return
        for number, supervisor in list(self._supervisors.items()):
            for happening in supervisor.poll():
                if self._supervisors.get(number) is not supervisor:
                    break  # dropped for what happened before
                event = self._own if number == OWN else self._taken_over
                self._handle(event(number, supervisor, happening))
        self._watch([fd for s in self._supervisors.values() for fd in s.filenos])

    def _own(self, number: int, supervisor: Supervisor, happening: Happening) -> Event:
        if isinstance(happening, AllReady):
            return WorkersReady(tuple(supervisor.names))
        if isinstance(happening, CannotStart):
            return LoadFailed(happening.code, happening.message, happening.hint)
        return Measured(happening)

    def _taken_over(self, number: int, supervisor: Supervisor, happening: Happening) -> Event:
        if isinstance(happening, AllReady):
            self._ready.add(number)
            return ExtensionReady(number, tuple(supervisor.names))
        if isinstance(happening, CannotStart):
            return ExtensionFailed(number, happening.message)
        if number not in self._ready:
            how = f": it {happening.reason}" if happening.reason else ""
            return ExtensionFailed(number, f"a worker ended before all were ready{how}")
        return Measured(happening)

    def _watch(self, filenos: list[int]) -> None:
        """Have the loop wake up when a worker says something."""
        assert self._reactor is not None
        self._watched = self._reactor.follow(self._watched, filenos, self._poll_workers)

    # -- actions ---------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        for action in self._guard.handle(self._core, event, self._clock.monotonic()):
            if isinstance(action, ToBroker):
                self._socket.send(action.message)
            elif isinstance(action, SampleWorker):
                self._sample(action.worker)
            elif isinstance(action, PrepareRun):
                self._prepare(action)
            elif isinstance(action, StartWorkers) and OWN in self._supervisors:
                self._origin = self._clock.monotonic() + action.delay
                self._supervisors[OWN].start(action.delay)
            elif isinstance(action, StopWorkers):
                for supervisor in self._supervisors.values():
                    supervisor.stop(action.grace)
            elif isinstance(action, PrepareExtension | StartExtension | DropExtension):
                self._extend(action)
            elif isinstance(action, DropRun):
                self._drop()
            elif isinstance(action, Leave):
                self._leave(action)
            elif isinstance(action, Log):
                log.log(logging.WARNING if action.level == "warning" else logging.INFO, action.text)

    def _sample(self, worker: str) -> None:
        for supervisor in self._supervisors.values():
            delta = supervisor.sample(worker) if worker in supervisor.names else None
            if delta is not None:
                self._handle(Measured(delta))
                return

    def _prepare(self, action: PrepareRun) -> None:
        self._drop()
        try:
            # the process id in its name tells a later agent whether this one is still there
            self._scratch = tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-")
            unpack(action.bundle, action.digest, Path(self._scratch))
            if action.plan.test_dir:
                copy_to(Path(action.plan.test_dir), Path(self._scratch))
            self._plan, self._run_id = action.plan, action.run_id
            self._installing = Installation(action.plan.python_deps, Path(self._scratch))
        except Exception as error:
            self._cannot_start(error)
        else:
            self._spawn_when_installed()

    def _spawn_when_installed(self) -> None:
        """Start the workers once what the test needs is there; until then, look again later."""
        try:
            if self._installing is None or not self._installing.is_done():
                return
            libraries, self._installing = self._installing.directory, None
            self._libraries = str(libraries) if self._plan.python_deps else ""
            self._supervisors[OWN] = self._supervise(self._plan, "")
        except Exception as error:
            self._installing = None
            self._cannot_start(error)

    def _supervise(self, plan: RunPlan, prefix: str) -> Supervisor:
        return Supervisor(
            plan,
            self._scratch,
            workers_for(plan, self._core.settings.workers),
            self._clock,
            prefix=f"{self.agent_id}/{prefix}",
            scratch=self._scratch,
            run_id=self._run_id,
            libraries=self._libraries,
            orphan_timeout=self._core.settings.orphan_timeout,
            owner="its agent",
            last_words=self._errand,
        )

    def _errand(self, worker: str) -> bytes:
        """What a worker is to do when this agent is dead.

        Of programs that are no longer heard, nobody knows what they had done: theirs says nothing.
        """
        if self._plan.test_runner:
            return b""
        errand = Errand(self._run_id, self.agent_id, worker, self._backend, self._scratch)
        return errand.pack()

    def _extend(self, action: PrepareExtension | StartExtension | DropExtension) -> None:
        number, now = action.number, self._clock.monotonic()
        if isinstance(action, PrepareExtension):
            self._asked[number] = now
            try:
                self._supervisors[number] = self._supervise(action.plan, f"{number}.")
            except Exception as error:
                self._handle(ExtensionFailed(number, self._why_not(error).message))
        elif isinstance(action, StartExtension):
            # what it took to get ready is no time of a load by duration
            self._supervisors[number].start(self._asked[number] - now, self._origin)
        elif (supervisor := self._supervisors.pop(number, None)) is not None:
            self._watch([fd for s in self._supervisors.values() for fd in s.filenos])
            supervisor.close()

    def _cannot_start(self, error: Exception) -> None:
        self._handle(self._why_not(error))

    def _why_not(self, error: Exception) -> LoadFailed:
        """Why there is no load.  What we try is decided by others: no error of it is our end."""
        if isinstance(error, LoadsError):
            return LoadFailed(int(error.exit_code), error.message, error.hint)
        hint = "Look at its disk, its memory and its limits (ulimit -a)."
        if not isinstance(error, OSError):
            log.exception("A run cannot be prepared, for a reason that is not foreseen")
            hint = "Its log says more."
        said = f"Agent {self.agent_id} cannot start workers: {error}."
        return LoadFailed(int(ExitCode.INCOMPLETE), said, hint)

    def _drop(self) -> None:
        self._watch([]) if self._watched else None
        if self._installing is not None:
            self._installing.close()
            self._installing = None
        for supervisor in self._supervisors.values():
            supervisor.close()
        self._supervisors, self._ready, self._asked = {}, set(), {}
        if self._scratch:
            self._leftovers.append(self._scratch)
            self._scratch = ""
        self._clean()

    def _clean(self) -> None:
        """Remove what runs left here; what cannot be now, for want of descriptors, is later."""
        for path in self._leftovers:
            shutil.rmtree(path, ignore_errors=True)
        self._leftovers = [path for path in self._leftovers if os.path.lexists(path)]

    def _leave(self, action: Leave) -> None:
        self._leaving = action
        log.info(action.message)
        if self._reactor is not None:
            self._reactor.stop()


def find_broker(frontend: Access, clock: Clock) -> Access:
    """The backend of the broker at ``frontend``; waits for it, because boxes boot in any order.

    Raises :class:`LoadsError` when there is a broker, but none for us.
    """
    requester = Requester(frontend, clock)
    try:
        while True:
            try:
                return requester.access_to(requester.ping().backend)
            except BrokerUnreachable as error:
                log.warning("%s Still trying. %s", error.message, error.hint)
    finally:
        requester.close()


def _sweep() -> None:
    """Remove what agents left that were killed together with all their workers."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*-*"):
        pid = path.name.removeprefix(SCRATCH).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            shutil.rmtree(path, ignore_errors=True)
