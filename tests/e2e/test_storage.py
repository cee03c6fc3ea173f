"""What brokers do with a database that is full, gone, damaged, taken or too large."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import SITE, Cluster, Runner, site
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target
from tests.e2e.test_restarts import restart, the_run, under_load
from tests.e2e.waiting import until
from tests.integration.databases import (
    postgres_database,
    postgres_server,
    redis_database,
    redis_server,
)

USERS = 10
REPOSITORY = Path(__file__).parents[2]
FOR_EVER = ("-u", USERS, "--hits", 1_000_000)
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a file system")


@contextmanager
def small_disk(stage: Stage) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = stage.root / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; gives the file that takes the room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                continue
        except OSError:
            return filler
    pytest.fail("the disk has no end")


def said(stage: Stage, *options: object, code: int = 0) -> Process:
    """A command of ``loads-runner``, once it has ended."""
    process = stage.start("runner", "loads-runner", *options)
    assert process.wait() == code, process.err
    return process


def stop(runner: Runner) -> None:
    runner.process.signal(signal.SIGINT)


@needs_root
@pytest.mark.needs("mount")
def test_a_full_disk_stops_no_run_and_is_made_up_for(stage: Stage, target: Target) -> None:
    """The run goes on in memory; when there is room again, a restart finds all of it."""
    stage.write("test_site.py", SITE)
    with small_disk(stage) as disk:
        cluster = Cluster(stage, broker_options=("--db", disk / "broker.db"))
        runner = cluster.start("test_site", *FOR_EVER, "--server-url", target.url)
        run_id = the_run(cluster)
        under_load(target)
        filler = fill(disk)
        cluster.broker.says("Runs are not stored, and go on in memory")
        under_load(target)
        until(lambda: "Not stored" in "".join(cluster.view(run_id).warnings), "the warning")
        filler.unlink()
        cluster.broker.says("All runs are stored again")
        until(lambda: "Not stored" not in "".join(cluster.view(run_id).warnings), "its end")
        under_load(target)
        restart(cluster)
        cluster.agents[0].says("The broker is back")
        under_load(target)
        stop(runner)
        result = runner.wait()
        assert result.code == 130
        assert result.hits == target.hits
        assert result.warnings == []
        assert cluster.broker.terminate() == 0


@needs_root
@pytest.mark.needs("mount")
def test_a_disk_that_stays_full_is_told_in_the_result(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    with small_disk(stage) as disk:
        cluster = Cluster(stage, broker_options=("--db", disk / "broker.db"))
        fill(disk)
        result = cluster.run("test_site", "-u", USERS, "--hits", 100, "--server-url", target.url)
        assert result.code == 0
        assert result.hits == target.hits == USERS * 100
        (warning,) = result.warnings
        assert warning.startswith("Not stored, and lost if the broker ends")
        assert cluster.broker.err.count("Runs are not stored") == 1
        assert cluster.broker.terminate() == 0


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(redis_server, marks=pytest.mark.needs("redis-server"), id="redis"),
        pytest.param(
            postgres_server, marks=pytest.mark.needs("postgres", "initdb"), id="postgresql"
        ),
    ],
)
def test_a_run_goes_on_through_a_restart_with_a_database_server(
    stage: Stage, target: Target, server
) -> None:
    stage.write("test_site.py", SITE)
    with server() as url:
        cluster = Cluster(stage, broker_options=("--db", url))
        runner = cluster.start("test_site", *FOR_EVER, "--server-url", target.url)
        run_id = the_run(cluster)
        under_load(target)
        restart(cluster)
        cluster.agents[0].says("The broker is back")
        under_load(target)
        stop(runner)
        result = runner.wait()
        assert (result.code, result.hits) == (130, target.hits)
        restart(cluster)
        assert cluster.view(run_id).tally.hits == target.hits
        assert cluster.broker.terminate() == 0


DATABASES = pytest.mark.parametrize(
    "database",
    [
        pytest.param(redis_database, marks=pytest.mark.needs("redis-server"), id="redis"),
        pytest.param(
            postgres_database, marks=pytest.mark.needs("postgres", "initdb"), id="postgresql"
        ),
    ],
)
HANG = 20.0  #: seconds


@DATABASES
def test_a_database_server_that_hangs_for_a_while_is_made_up_for(
    stage: Stage, target: Target, database
) -> None:
    """It takes all that it is told, and carries that out when it goes on: nothing counts twice."""
    stage.write("test_slow.py", site("/slow/0.01"))
    with database() as server:
        cluster = Cluster(stage, broker_options=("--db", server.url))
        old = cluster.run("test_slow", "-u", 1, "--hits", 3, "--server-url", target.url)
        before = target.hits
        restart(cluster)
        cluster.agents[0].says("Registered with the broker", 2)
        runner = cluster.start("test_slow", *FOR_EVER, "--server-url", target.url)
        run_id = the_run(cluster)
        under_load(target)
        server.hangs()
        began = time.monotonic()
        cluster.broker.says("Runs are not stored, and go on in memory")
        until(lambda: "Not stored" in "".join(cluster.view(run_id).warnings), "the warning")
        shown = said(stage, "--attach", old.summary["run_id"], code=5)
        assert "cannot be looked up" in shown.err
        assert run_id in said(stage, "--list-runs").out
        time.sleep(max(0.0, began + HANG - time.monotonic()))  # the fault itself
        under_load(target)
        server.goes_on()
        cluster.broker.says("All runs are stored again")
        until(lambda: "Not stored" not in "".join(cluster.view(run_id).warnings), "its end")
        under_load(target)
        assert cluster.broker.err.count("Runs are not stored") == 1
        restart(cluster)
        cluster.agents[0].says("The broker is back")
        under_load(target)
        stop(runner)
        result = runner.wait()
        assert (result.code, result.hits) == (130, target.hits - before)
        assert result.warnings == []
        restart(cluster)
        assert cluster.view(run_id).tally.hits == result.hits
        assert cluster.view(old.summary["run_id"]).tally.hits == before
        assert cluster.broker.terminate() == 0


@DATABASES
def test_a_database_server_that_hangs_to_the_end_stops_no_run(
    stage: Stage, target: Target, database
) -> None:
    stage.write("test_site.py", SITE)
    with database() as server:
        cluster = Cluster(stage, broker_options=("--db", server.url))
        options = ("test_site", "-u", USERS, "-d", 8, "--server-url", target.url)
        runner = cluster.start(*options)
        the_run(cluster)
        under_load(target)
        server.hangs()
        result = runner.wait()
        assert (result.code, result.hits) == (0, target.hits)
        (warning,) = result.warnings
        assert warning.startswith("Not stored, and lost if the broker ends")
        assert cluster.broker.terminate() == 0, "also without a word from the database"


@pytest.mark.needs("redis-server")
def test_a_database_server_that_goes_away_stops_no_run(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    with redis_server() as url:
        cluster = Cluster(stage, broker_options=("--db", url))
        runner = cluster.start("test_site", *FOR_EVER, "--server-url", target.url)
        the_run(cluster)
        under_load(target)
    cluster.broker.says("Runs are not stored, and go on in memory")
    under_load(target)
    stop(runner)
    result = runner.wait()
    assert (result.code, result.hits) == (130, target.hits)
    assert result.warnings[0].startswith("Not stored")


def test_nothing_is_kept_where_that_is_asked_for(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, broker_options=("--db", "memory:"))
    result = cluster.run("test_site", "-u", 2, "--hits", 5, "--server-url", target.url)
    assert result.hits == target.hits == 10
    restart(cluster)
    cluster.broker.says("kept in memory: 0 have ended, 0 go on")
    assert not (stage.home / "broker.db").exists()


def test_the_database_is_in_the_home_and_private(stage: Stage) -> None:
    cluster = Cluster(stage, agents=0)
    database = stage.home / "broker.db"
    assert f"{database.parent.stat().st_mode:o}"[-3:] == "700"
    assert f"{database.stat().st_mode:o}"[-3:] == "600"
    assert cluster.broker.terminate() == 0
    left = {path.name: f"{path.stat().st_mode:o}"[-3:] for path in database.parent.iterdir()}
    assert left == {"broker.db": "600", "audit.log": "600"}, "and nothing of it is open any more"


def test_runs_that_ended_long_ago_are_removed(stage: Stage, target: Target) -> None:
    """At the start of a broker, and each minute; here every ended run is too old."""
    stage.write("test_site.py", SITE)
    cluster = Cluster(stage, broker_options=("--db-max-age", "0s"))
    cluster.run("test_site", "--server-url", target.url)
    restart(cluster)
    cluster.broker.says("Removed 1 run that had ended")


def test_the_example_that_reads_a_history(stage: Stage, target: Target) -> None:
    """Its lines add up to what the target has counted."""
    stage.write("test_site.py", SITE)
    database = stage.root / "broker.db"
    cluster = Cluster(stage, broker_options=("--db", database))
    cluster.run("test_site", "-u", USERS, "-d", 2, "--server-url", target.url)
    assert cluster.broker.terminate() == 0
    reader = stage.start(
        "reader", "python", "-m", "examples.read_history", database, cwd=REPOSITORY
    )
    assert reader.wait() == 0
    first, *lines = reader.out.splitlines()
    assert first.endswith(f"test_site, finished, {target.hits} hits")
    hits = [int(line.split()[2]) for line in lines if f"hit GET {target.url}/" in line]
    assert len(hits) >= 2
    assert sum(hits) == target.hits


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("broker.db", b"a shopping list\n" * 500, "is no database, or damaged"),
        ("nowhere/broker.db", None, "No such file or directory"),
    ],
)
def test_a_database_that_cannot_be_used(
    stage: Stage, name: str, content: bytes | None, says: str
) -> None:
    path = stage.root / name
    if content is not None:
        path.write_bytes(content)
    broker = stage.start("broker", "loads-broker", "--db", path)
    assert broker.wait() == 2
    assert says in broker.err
    assert "--db" in broker.err
    assert "Traceback" not in broker.err
    assert content is None or path.read_bytes() == content


def test_a_second_broker_may_not_have_the_same_database(stage: Stage) -> None:
    cluster = Cluster(stage, agents=0)
    names = ("frontend", "backend", "publisher")
    elsewhere = [f"--{name}=ipc://{stage.runtime / 'b'}/{name}.sock" for name in names]
    second = stage.start("broker", "loads-broker", *elsewhere)
    assert second.wait() == 2
    assert "Another broker has the database" in second.err
    third = stage.start("broker", "loads-broker", *elsewhere, "--db", stage.root / "other.db")
    third.says("loads-broker is ready")
    assert cluster.broker.code is None


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [("--db-max-size", "much", "500MB"), ("--db-max-age", "1y", "90d")],
)
def test_limits_that_make_no_sense(stage: Stage, option: str, value: str, hint: str) -> None:
    broker = stage.start("broker", "loads-broker", option, value)
    assert broker.wait() == 2
    assert hint in broker.err
