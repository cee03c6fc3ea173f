"""What an observer is, and what is common to what they say."""

from __future__ import annotations

from typing import Protocol

from loads.errors import UsageError
from loads.metrics.series import HIT, Verdict
from loads.metrics.summary import RunView
from loads.plugins import PluginOption

TIMEOUT = 10.0  #: seconds that our observers wait for each answer of a server

#: An option of an observer, ``--observer-NAME-OPTION`` on the command line.
ObserverOption = PluginOption


class Observer(Protocol):
    """What every observer does.

    One that cannot work because of what the user asked for raises
    :class:`~loads.errors.UsageError` when it is built, which is tried before there is a run.
    """

    def tell(self, view: RunView) -> None:
        """A run has ended.  May take its time; what it raises is logged, and costs nobody."""


def headline(view: RunView) -> str:
    """How a run ended, in one line."""
    if view.status == "failed":
        return f"Run {view.run_id} of {view.plan.target} failed: {view.error}"
    verdicts, hits = view.tally.verdicts, view.tally.total(HIT)
    passed = not (verdicts[Verdict.FAILURE] or verdicts[Verdict.ERROR])
    status = ("passed" if passed else "failed") if view.status == "finished" else view.status
    return (
        f"Run {view.run_id} of {view.plan.target}: {status}. "
        f"{verdicts[Verdict.SUCCESS]:,} tests succeeded, {verdicts[Verdict.FAILURE]:,} failed, "
        f"{verdicts[Verdict.ERROR]:,} errored; {hits.count:,} hits, {hits.errors:,} of them "
        f"errors, in {view.duration:.1f} s."
    )


def details(view: RunView) -> list[str]:
    """What else is worth a line each: the plan, the request times, failures and warnings."""
    lines = [view.plan.describe()]
    p50, p95, p99 = view.tally.total(HIT).latency.percentiles((50, 95, 99))
    if p50 is not None and p95 is not None and p99 is not None:
        times = (f"{name} {value / 1e3:.3g} ms" for name, value in
                 (("p50", p50), ("p95", p95), ("p99", p99)))  # fmt: skip
        lines.append(f"Request times: {', '.join(times)}")
    ranked = sorted(view.tally.failures.items(), key=lambda item: (-item[1].count, item[0]))
    lines += [f"{group.count:,} x {failure.type}: {failure.message}" for failure, group in ranked]
    return [*lines, *(f"Warning: {warning}" for warning in view.warnings)]


def port_number(observer: str, text: str) -> int:
    """A port.  Raises :class:`UsageError`."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16):
        raise UsageError(f"--observer-{observer}-port {text} is no port.", "Give 1 to 65535.")
    return int(text)
