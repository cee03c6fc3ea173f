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


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("loads.cli.attachment, loads.cli.run", "asyncio urllib.request"),
        ("loads.cli.agent", "asyncio urllib.request"),
        ("loads.transport.arguments", "zmq dataclasses loads.protocol"),
    ],
)
def test_commands_import_little_before_they_say_that_they_are_refused(
    module: str, others: str
) -> None:
    code = f"import sys, {module}; print(sorted(set({others.split()}) & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import loads.runners.local, loads.cli.run", id="a local run"),
        pytest.param(
            "from loads.agent import server; from loads.protocol import codec, messages as m; "
            "from loads.metrics.tally import Tally; t = Tally(); "
            "t.merge(Tally()); t.hits, t.total('hit'); codec.encode(m.Report('r', 'w', 1, t)); "
            "codec.decode(codec.encode(m.Start('r', 0.1)))",
            id="an agent that reports",
        ),
    ],
)
def test_numpy_is_for_those_who_read_reports(code: str) -> None:
    """It takes longer to import than all that a short run needs."""
    code = f"import sys; {code}; print('numpy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_the_public_names_are_there() -> None:
    assert sorted(loads.__all__) == ["TestCase", "__version__", "weight"]
    assert all(hasattr(loads, name) for name in loads.__all__)
    assert set(loads.__all__) <= set(dir(loads))


def test_there_are_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Testcase'"):
        _ = loads.Testcase  # type: ignore[attr-defined]
