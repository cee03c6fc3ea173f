"""What all tests share: how a missing system part is treated, and the stage of real processes."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.e2e.stage import Stage

settings.register_profile("loads", deadline=None)  # a busy machine is no failure
settings.load_profile("loads")

_STAGES = pytest.StashKey[list[Stage]]()
_MOST_SHOWN = 6_000  #: characters of each log in the report of a failure


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "needs(program, ...): the test needs these programs of the system, or to be root; without "
        "them it is skipped, or fails where LOADS_REQUIRE_ALL=1 says that all must be there",
    )


#: Files that take minutes: first, or the others would be done and wait for them.
SLOW = tuple(f"test_{name}.py" for name in ("storage", "hostile_peers", "networks", "faults"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files are given to processes in this order."""
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted = [program for mark in item.iter_markers("needs") for program in mark.args]
    missing = [program for program in wanted if not _has(program)]
    if not missing:
        return
    reason = f"not installed here: {', '.join(missing)}"
    if os.environ.get("LOADS_REQUIRE_ALL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _has(wanted: str) -> bool:
    return os.geteuid() == 0 if wanted == "root" else find_program(wanted) is not None


def find_program(name: str) -> str | None:
    """Where a program is; servers are often in a directory that is not on a user's path."""
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
    places += sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)  # as Debian has it
    return shutil.which(name, path=":".join(places))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """A failure shows what the processes of the test printed."""
    report = yield
    if report.failed:
        for stage in _stages_of(item):
            report.sections.extend(
                (name, text[-_MOST_SHOWN:]) for name, text in stage.logs() if text.strip()
            )
    return report


def _stages_of(item: pytest.Item) -> list[Stage]:
    return [stage for node in item.listchain() for stage in node.stash.get(_STAGES, [])]


def _on_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage()
    request.node.stash.setdefault(_STAGES, []).append(stage)
    try:
        yield stage
        stage.end()
    finally:
        stage.clear()


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Where a test starts its processes.  Afterwards nothing of them may be left."""
    yield from _on_stage(request)


@pytest.fixture(scope="module")
def shared_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for what the tests of a module share, such as a cluster that none of them harms."""
    yield from _on_stage(request)
