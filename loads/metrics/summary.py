"""A run as people see it: the live picture, and the summary made from it.

The dictionary that :func:`summarise` gives is the format that ``--output json`` writes and that
``docs/reference.rst`` describes.  Times in it are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from loads.errors import ExitCode
from loads.metrics.histogram import Histogram
from loads.metrics.series import (
    CONNECTION,
    HIT,
    KINDS,
    OTHER,
    TEST,
    TIMING,
    WEBSOCKET,
    WS_CONNECT,
    WS_ROUND_TRIP,
    Phases,
    Series,
    Verdict,
    outcome_name,
)
from loads.metrics.tally import COUNTS, Tally
from loads.plan import RunPlan

SCHEMA = 1

State = Literal["queued", "preparing", "running", "stopping", "ended"]
Status = Literal["", "finished", "stopped", "failed", "incomplete"]
STATES: tuple[State, ...] = ("queued", "preparing", "running", "stopping", "ended")
STATUSES: tuple[Status, ...] = ("", "finished", "stopped", "failed", "incomplete")


@dataclass(frozen=True)
class AgentView:
    """One agent in a run.

    ``hits`` are those reported by it, ``unknown`` the most hits that it may have made without a
    report: those that were under way when workers of it were lost, and those that workers of an
    agent that was killed had made since its last report; None when not even that is known.
    ``cores`` are those of its box, 0 where that is not known, ``version`` is its version of Loads.
    """

    agent_id: str
    host: str
    workers: int
    state: str
    hits: int = 0
    unknown: int | None = 0
    cores: int = 0
    version: str = ""


@dataclass(frozen=True)
class QueueView:
    """Where a run is in the broker's queue.

    ``place`` counts from 1, ``length`` is how many wait, ``idle`` how many agents are idle.
    """

    place: int
    length: int
    idle: int


@dataclass(frozen=True)
class RunView:
    """All that is known of a run at one moment.

    ``started`` is seconds since the Unix epoch, ``elapsed`` seconds of load so far, ``users`` the
    virtual users active now.  Where the status is ``failed``, ``error`` and ``hint`` say why, and
    ``error_code`` is the exit code that goes with it.  Where it is ``incomplete`` with such a code,
    the run was followed no longer, and how it ended is not known.  ``queue`` is there while the
    state is ``queued``.  ``submitted_by`` is the name of the key that the run was submitted with;
    empty, where there is no broker.
    """

    run_id: str
    plan: RunPlan
    state: State = "preparing"
    status: Status = ""
    started: float = 0.0
    elapsed: float = 0.0
    users: int = 0
    tally: Tally = field(default_factory=Tally)
    agents: tuple[AgentView, ...] = ()
    warnings: tuple[str, ...] = ()
    error_code: int = 0
    error: str = ""
    hint: str = ""
    queue: QueueView | None = None
    submitted_by: str = ""

    def after(self, changes: RunChanges) -> RunView:
        """The run as it is after some changes, but for the numbers: these are to be merged."""
        told = {agent.agent_id: agent for agent in (*self.agents, *changes.agents)}
        return replace(
            self,
            state=changes.state,
            status=changes.status,
            started=changes.started,
            elapsed=changes.elapsed,
            users=changes.users,
            agents=tuple(told.values()),
            warnings=self.warnings if changes.warnings is None else changes.warnings,
            error_code=changes.error_code,
            error=changes.error,
            hint=changes.hint,
            queue=changes.queue,
        )

    @property
    def exit_code(self) -> ExitCode:
        """What the command exits with.  What makes a result unusable comes before what is in it."""
        if self.status == "stopped":
            return ExitCode.INTERRUPTED
        if self.status in ("incomplete", "failed"):
            # a newer broker may know codes that we do not
            known = self.error_code in {code.value for code in ExitCode if code}
            other = ExitCode.INCOMPLETE if self.status == "incomplete" else ExitCode.FAILED
            return ExitCode(self.error_code) if known else other
        verdicts = self.tally.verdicts
        if verdicts[Verdict.FAILURE] or verdicts[Verdict.ERROR]:
            return ExitCode.FAILED
        if self.status == "finished" and not any(verdicts.values()):
            return ExitCode.FAILED  # nothing was tested: that is no success
        return ExitCode.OK

    @property
    def duration(self) -> float:
        """Seconds of load: to the last thing recorded once the run has ended."""
        if self.state == "ended" and self.tally.elapsed:
            return self.tally.elapsed
        return self.elapsed

    @property
    def progress(self) -> float | None:
        """How much of the run is done, 0 to 1; None while that cannot be known."""
        if self.state == "ended" and self.status == "finished":
            return 1.0
        if self.plan.total_tests is not None:
            done = sum(self.tally.outcomes(TEST).values())
            return min(1.0, done / self.plan.total_tests)
        if self.plan.total_seconds is not None:
            return min(1.0, self.elapsed / self.plan.total_seconds)
        return None


@dataclass(frozen=True)
class RunChanges:
    """What has changed in a run since another moment.

    ``tally`` is what came since.  ``agents`` are those of which something is told anew, each as it
    is now.  ``warnings`` are all that there are; None, when they are the same.  The rest is as in
    :class:`RunView`, and as it is now.
    """

    run_id: str
    state: State = "preparing"
    status: Status = ""
    started: float = 0.0
    elapsed: float = 0.0
    users: int = 0
    tally: Tally = field(default_factory=Tally)
    agents: tuple[AgentView, ...] = ()
    warnings: tuple[str, ...] | None = None
    error_code: int = 0
    error: str = ""
    hint: str = ""
    queue: QueueView | None = None


def latency(histogram: Histogram) -> dict[str, Any]:
    """A histogram in seconds.  Numbers that do not exist, as of no values, are None."""
    p50, p90, p95, p99, p999 = histogram.percentiles((50, 90, 95, 99, 99.9))
    figures = {
        "mean": histogram.mean,
        "min": histogram.low,
        "p50": p50,
        "p90": p90,
        "p95": p95,
        "p99": p99,
        "p999": p999,
        "max": histogram.high,
    }
    in_seconds = {k: None if v is None else round(v / 1e6, 9) for k, v in figures.items()}
    return {"count": histogram.count, **in_seconds}


def summarise(view: RunView) -> dict[str, Any]:
    """The summary of a run as plain data, ready for JSON."""
    tally = view.tally
    return {
        "schema": SCHEMA,
        "run_id": view.run_id,
        "status": view.status,
        "exit_code": int(view.exit_code),
        "submitted_by": view.submitted_by,
        "plan": view.plan.pack(),
        "started": view.started,
        "duration": view.duration,
        "tests": _tests(tally, view.duration),
        "hits": _hits(tally.total(HIT), view.duration),
        "urls": [
            {
                "name": key.name,
                "method": key.method,
                "hits": series.count,
                "errors": series.errors,
                "status": {outcome_name(o): n for o, n in sorted(series.outcomes.items())},
                "latency": latency(series.latency),
                "phases": _phases(series.phases),
            }
            for key, series in sorted(tally.of_kind(HIT).items())
        ],
        "connections": _connections(tally),
        "websockets": _websockets(tally),
        "counters": dict(sorted(tally.counters.items())),
        "timings": [
            {"name": key.name, "latency": latency(series.latency)}
            for key, series in sorted(tally.of_kind(TIMING).items())
        ],
        "failures": _failures(tally, view.started),
        "agents": [
            {
                "agent_id": agent.agent_id,
                "host": agent.host,
                "workers": agent.workers,
                "state": agent.state,
                "hits": agent.hits,
                "unknown": agent.unknown,
                "cores": agent.cores,
                "version": agent.version,
            }
            for agent in view.agents
        ],
        "thresholds": [],
        "warnings": [*view.warnings, *_overflows(tally)],
    }


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3) if seconds > 0 else 0.0


def _tests(tally: Tally, duration: float) -> dict[str, Any]:
    tests, verdicts = tally.total(TEST), tally.verdicts
    return {
        "started": tally.counts.get("tests_started", 0),
        "finished": tests.count,
        "success": verdicts[Verdict.SUCCESS],
        "failures": verdicts[Verdict.FAILURE],
        "errors": verdicts[Verdict.ERROR],
        "skipped": verdicts[Verdict.SKIPPED],
        "cut": tally.counts.get("tests_cut", 0),
        "rate": _rate(tests.count, duration),
        "latency": latency(tests.latency),
    }


def _hits(hits: Series, duration: float) -> dict[str, Any]:
    return {
        "total": hits.count,
        "errors": hits.errors,
        "rate": _rate(hits.count, duration),
        "latency": latency(hits.latency),
        "bytes_sent": hits.sent,
        "bytes_received": hits.received,
    }


def _overflows(tally: Tally) -> list[str]:
    """What was too much to be kept apart."""
    return [
        f"There were too many different {kind} series: {OTHER} stands for the rest."
        for kind in KINDS
        if any(key.name == OTHER for key in tally.of_kind(kind))
    ]


def _phases(phases: Phases) -> dict[str, float | None]:
    """Means in seconds."""
    names = ("sending", "waiting", "receiving")
    return {
        name: round(getattr(phases, name) / phases.hits / 1e6, 9) if phases.hits else None
        for name in names
    }


def _connections(tally: Tally) -> dict[str, Any]:
    """What opening connections took, over all peers.

    ``failed`` is of connects and of TLS; ``reused`` is how many hits needed no new connection.
    """
    totals = {phase: Series() for phase in ("dns", "connect", "tls")}
    for key, series in tally.of_kind(CONNECTION).items():
        if key.method in totals:
            totals[key.method].merge(series)
    opened = totals["connect"].outcomes.get(Verdict.SUCCESS, 0)
    failed = totals["connect"].count - opened + totals["tls"].outcomes.get(Verdict.ERROR, 0)
    figures = {phase: latency(series.latency) for phase, series in totals.items()}
    reused = tally.counts.get("connections_reused", 0)
    return {"opened": opened, "reused": reused, "failed": failed, **figures}


def _websockets(tally: Tally) -> dict[str, Any]:
    counts = {
        name.removeprefix("ws_"): tally.counts.get(name, 0)
        for name in COUNTS
        if name.startswith("ws_")
    }
    connects = websockets(tally, WS_CONNECT)
    return {
        **counts,
        "failed": connects.errors,
        "connect": latency(connects.latency),
        "round_trip": latency(websockets(tally, WS_ROUND_TRIP).latency),
    }


def websockets(tally: Tally, method: str) -> Series:
    """All series of web sockets of one method as one."""
    total = Series()
    for key, series in tally.of_kind(WEBSOCKET).items():
        if key.method == method:
            total.merge(series)
    return total


def _failures(tally: Tally, started: float) -> list[dict[str, Any]]:
    ranked = sorted(tally.failures.items(), key=lambda item: (-item[1].count, item[0]))
    return [
        {
            "kind": failure.kind,
            "type": failure.type,
            "message": failure.message,
            "traceback": failure.traceback,
            "count": group.count,
            "first_seen": started + group.first,
            "last_seen": started + group.last,
            "tests": sorted(group.tests),
        }
        for failure, group in ranked
    ]
