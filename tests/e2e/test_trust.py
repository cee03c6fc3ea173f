"""What others can do to our processes: those who submit runs, and those who share the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from loads.bundle import Bundle, digest_of, pack
from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.metrics.summary import RunView
from loads.plan import RunPlan
from loads.transport.tokens import find_access
from tests.e2e.cluster import SITE, Cluster
from tests.e2e.stage import Stage
from tests.e2e.waiting import until


def ended(cluster: Cluster, plan: RunPlan, bundle: Bundle) -> RunView:
    """The end of a run that was submitted with just these bytes."""
    access = find_access(cluster.frontend, cluster.stage.home)
    with BrokerClient(access, SystemClock()) as client:
        run_id = client.submit(plan, bundle)
        until(lambda: client.get(run_id).view.state == "ended", "the end of the run")
        return client.get(run_id).view


def packed(folder: Path, text: str = SITE) -> bytes:
    """A bundle of one test, in a file whose name is not ASCII, and of another file."""
    for name, content in (("test_größe.py", text), ("test_site.py", text)):
        (folder / name).write_text(content)
    return pack(folder, sorted(folder.iterdir())).data


def bad_name(data: bytes) -> bytes:
    """With a name in the directory that is no UTF-8."""
    return data.replace("ö".encode(), b"\xff\xfe")


def bad_place(data: bytes) -> bytes:
    """With a directory that tells of a file where none can be."""
    at = data.index(b"PK\1\2") + 42
    return data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :]


@pytest.mark.parametrize("damage", [bad_name, bad_place])
def test_an_agent_survives_a_damaged_bundle(stage: Stage, tmp_path: Path, damage: object) -> None:
    """Its digest is right: whoever may submit runs may say what it likes."""
    cluster = Cluster(stage)
    assert callable(damage)
    data = damage(packed(tmp_path))
    view = ended(cluster, RunPlan("test_site", agents=1), Bundle(data, digest_of(data)))
    assert "The bundle is damaged" in view.error
    assert cluster.agents[0].code is None
    assert "Traceback" not in cluster.agents[0].err


def test_an_agent_survives_what_nobody_has_foreseen(stage: Stage, tmp_path: Path) -> None:
    """A variable that no process can have; the run fails and says why, and so does the log."""
    cluster = Cluster(stage)
    data = packed(tmp_path)
    plan = RunPlan("test_site", agents=1, env={"GREETING": "hello\0world"})
    view = ended(cluster, plan, Bundle(data, digest_of(data)))
    assert "cannot start workers: embedded null byte" in view.error
    cluster.agents[0].says("ValueError: embedded null byte")
    assert cluster.agents[0].code is None
