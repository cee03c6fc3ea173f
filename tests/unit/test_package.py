"""What importing Loads costs, and what it promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

import loads


@pytest.mark.parametrize(
    "module",
    [
        "loads.broker.server",
        "loads.agent.server",
        "loads.runners.local",
        "loads.runners.distributed",
        "loads.client",
        "loads.cli.run",
        "loads.cli.broker",
        "loads.cli.agent",
    ],
)
def test_gevent_lives_in_workers_only(module: str) -> None:
    """And Requests with it: a daemon has no use for either."""
    code = f"import sys, {module}; print({{'gevent', 'requests'}} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_the_public_names_are_there() -> None:
    assert sorted(loads.__all__) == ["TestCase", "__version__", "weight"]
    assert all(hasattr(loads, name) for name in loads.__all__)
    assert set(loads.__all__) <= set(dir(loads))


def test_there_are_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Testcase'"):
        _ = loads.Testcase  # type: ignore[attr-defined]
