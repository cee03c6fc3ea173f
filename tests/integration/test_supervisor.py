"""Workers as real processes, under a supervisor that is ours."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loads.clock import Clock, FakeClock, SystemClock
from loads.ledger import Ledger
from loads.plan import RunPlan
from loads.supervisor import AllReady, CannotStart, Happening, Supervisor, workers_for
from tests.e2e.cluster import SITE, site
from tests.e2e.stage import Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until


class Watch:
    """A supervisor, and all that it said."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.ledger = Ledger()
        self.said: list[Happening] = []

    def poll(self) -> None:
        for happening in self.supervisor.poll():
            if isinstance(happening, AllReady | CannotStart):
                self.said.append(happening)
            else:
                self.ledger.merge(happening)

    def sample(self) -> None:
        for name in self.supervisor.names:
            delta = self.supervisor.sample(name)
            if delta is not None:
                self.ledger.merge(delta)

    def until(self, condition: Callable[[], object], what: str) -> None:
        def polled() -> object:
            self.poll()
            return condition()

        until(polled, what)

    def until_ready(self) -> None:
        self.until(lambda: AllReady() in self.said, "workers to be ready")
        for name in self.supervisor.names:
            self.ledger.expect(name)

    def until_over(self) -> None:
        self.until(lambda: not self.ledger.open_sources, "the end of all workers")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    """Makes a supervisor of the tests in a text."""
    made: list[Supervisor] = []

    def make(
        text: str,
        workers: int = 2,
        *,
        clock: Clock | None = None,
        orphan_timeout: float = 30.0,
        **plan: object,
    ) -> Watch:
        (tmp_path / "test_it.py").write_text(textwrap.dedent(text))
        whole = RunPlan(**{"target": "test_it", **plan})  # type: ignore[arg-type]
        supervisor = Supervisor(
            whole,
            str(tmp_path),
            workers,
            clock or SystemClock(),
            prefix="box/",
            orphan_timeout=orphan_timeout,
            owner="its agent",
        )
        made.append(supervisor)
        return Watch(supervisor)

    yield make
    for supervisor in made:
        pids = supervisor.pids
        supervisor.close()
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


Make = Callable[..., Watch]


def test_workers_share_the_users_of_a_plan(watch: Make, target: Target) -> None:
    it = watch(SITE, 3, users=(7, 2), hits=(4,), server_url=target.url)
    assert it.supervisor.names == ["box/0", "box/1", "box/2"]
    it.until_ready()
    it.supervisor.start()
    it.until_over()
    assert it.ledger.total.hits == target.hits == 9 * 4
    assert {account.ended for account in it.ledger.accounts.values()} == {"finished"}
    assert it.supervisor.filenos == []


def test_no_worker_is_given_a_token(watch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever uses us as a library may have one; who wants a test to have it says so."""
    monkeypatch.setenv("LOADS_BROKER", "loads1_secret")
    monkeypatch.setenv("GREETING", "hello")
    it = watch("def test_it(): pass", 1)
    told = watch("def test_it(): pass", 1, env={"LOADS_BROKER": "loads1_wanted"})
    it.until_ready()
    told.until_ready()
    seen = [Path(f"/proc/{w.supervisor.pids[0]}/environ").read_bytes() for w in (it, told)]
    assert all(b"GREETING=hello" in environ for environ in seen)
    assert b"LOADS_BROKER" not in seen[0]
    assert b"LOADS_BROKER=loads1_wanted" in seen[1]


def test_samples_on_the_way_add_up_to_the_same(watch: Make, target: Target) -> None:
    it = watch(SITE, 2, users=(4,), hits=(100,), server_url=target.url)
    it.until_ready()
    it.supervisor.start()
    it.until(lambda: it.sample() or not it.ledger.open_sources, "the end of all workers")
    assert it.ledger.total.hits == target.hits == 400
    assert max(account.last for account in it.ledger.accounts.values()) > 1


def test_a_killed_worker_keeps_its_recorded_hits(watch: Make, target: Target) -> None:
    """Nothing was read of it before it died, and nothing of what it recorded is lost."""
    it = watch(SITE, 1, users=(5,), hits=(1_000_000,), server_url=target.url)
    it.until_ready()
    it.supervisor.start()
    it.until(lambda: target.hits > 100, "hits")
    os.kill(it.supervisor.pids[0], signal.SIGKILL)
    it.until_over()
    account = it.ledger.accounts["box/0"]
    assert (account.ended, account.reason) == ("lost", "was killed by SIGKILL")
    assert account.unknown is not None
    assert account.unknown <= 5
    assert it.ledger.total.hits <= target.hits <= it.ledger.total.hits + account.unknown


def test_a_stopped_worker_can_still_be_stopped_at_once(watch: Make, target: Target) -> None:
    """A long period of grace is given up when the second order says so."""
    it = watch(site("/hang"), 2, users=(4,), server_url=target.url)
    it.until_ready()
    it.supervisor.start()
    it.until(lambda: target.hits == 4, "all users to hang")
    it.supervisor.stop(600)
    it.supervisor.stop(0)
    it.until_over()
    assert {account.ended for account in it.ledger.accounts.values()} == {"stopped"}
    assert it.ledger.total.hits == 4
    assert it.ledger.total.counts["tests_cut"] == 4


def test_a_worker_that_cannot_load_the_test_speaks_for_all(watch: Make) -> None:
    it = watch("raise ValueError('a bad day')", 3)
    it.until(lambda: it.said, "the failure")
    it.until(lambda: not it.supervisor.filenos, "the end of all workers")
    (failure,) = it.said
    assert isinstance(failure, CannotStart)
    assert failure.code == 2
    assert "ValueError: a bad day" in failure.message


def test_a_worker_that_dies_while_loading(watch: Make) -> None:
    it = watch("import os; os.kill(os.getpid(), 9)", 1)
    it.until(lambda: it.said, "the failure")
    (failure,) = it.said
    assert isinstance(failure, CannotStart)
    assert failure.code == 4
    assert failure.message == "Worker box/0 was killed by SIGKILL before the test was loaded."


def test_what_a_test_started_ends_with_its_worker(watch: Make, tmp_path: Path) -> None:
    """Child processes of a test are in its worker's process group."""
    it = watch(
        """
        import pathlib, subprocess
        def test():
            child = subprocess.Popen(["sleep", "600"])
            pathlib.Path(__file__).with_name("child").write_text(str(child.pid))
        """,
        1,
    )
    it.until_ready()
    it.supervisor.start()
    it.until_over()
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}")
    until(lambda: not child.exists() or "Z" in child.joinpath("stat").read_text(), "its end")


@pytest.mark.parametrize(
    ("users", "most", "workers"), [((1,), 8, 1), ((3,), 8, 3), ((9, 2), 4, 4), ((1, 6), 8, 6)]
)
def test_there_are_never_more_workers_than_users(
    users: tuple[int, ...], most: int, workers: int
) -> None:
    assert workers_for(RunPlan("t", users=users), most) == workers


def has_ended(pid: int) -> bool:
    """Whether a process has ended that nobody has reaped yet."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("load", ["waiting", "busy"])
def test_workers_stop_when_their_supervisor_hangs(watch: Make, target: Target, load: str) -> None:
    """Its process is there, and so is the pipe; all that was recorded is still there to be read."""
    text = textwrap.dedent(SITE)
    if load == "busy":
        text += "        while True: pass\n"
    plan = {"users": (4,), "hits": (1_000_000,), "server_url": target.url}
    it = watch(text, 2, orphan_timeout=1, **plan)
    it.until_ready()
    it.supervisor.start()
    until(lambda: all(map(has_ended, it.supervisor.pids)), "the end of the workers")
    it.until_over()
    how = "was killed by SIGKILL" if load == "busy" else "stopped early"
    unknown = 0
    for account in it.ledger.accounts.values():
        assert account.ended == "lost"
        assert account.reason.startswith(f"{how}: orphaned, no word from its agent for 3 s")
        assert account.unknown is not None
        unknown += account.unknown
    assert unknown <= (2 if load == "busy" else 0), "one of each user that could not run"
    hits, cut = it.ledger.total.hits, it.ledger.total.counts.get("tests_cut", 0)
    assert hits - cut <= target.hits <= hits + unknown  # a request that was cut may not be read


def test_a_worker_that_is_stopped_for_longer_was_not_left_alone(
    watch: Make, target: Target
) -> None:
    """What it could not hear while it was not run says nothing of its supervisor."""
    it = watch(SITE, 1, orphan_timeout=1, users=(4,), hits=(2_000,), server_url=target.url)
    it.until_ready()
    it.supervisor.start()
    it.until(lambda: target.hits > 100, "hits")
    os.kill(it.supervisor.pids[0], signal.SIGSTOP)
    enough = time.monotonic() + 5
    it.until(lambda: time.monotonic() > enough, "longer than it keeps up its load alone")
    os.kill(it.supervisor.pids[0], signal.SIGCONT)
    it.until_over()
    assert it.ledger.accounts["box/0"].ended == "finished"
    assert it.ledger.total.hits == target.hits == 8_000


def test_a_worker_that_does_not_read_keeps_nobody_waiting_and_misses_nothing(
    watch: Make, target: Target
) -> None:
    """Signs of life fill its pipe; what it was told after that is done when it goes on."""
    clock = FakeClock(time.monotonic())
    it = watch(site("/hang"), 1, clock=clock, users=(4,), server_url=target.url)
    it.until_ready()
    it.supervisor.start()
    it.until(lambda: target.hits == 4, "all users to hang")
    os.kill(it.supervisor.pids[0], signal.SIGSTOP)
    for _ in range(10_000):  # a pipe holds some 64 KB
        clock.advance(1)
        it.poll()
    it.supervisor.stop(0)
    os.kill(it.supervisor.pids[0], signal.SIGCONT)
    it.until_over()
    account = it.ledger.accounts["box/0"]
    assert (account.ended, account.unknown) == ("stopped", 0)
    assert it.ledger.total.counts["tests_cut"] == 4


ORPHANS = """
    import sys, tempfile, time
    from pathlib import Path
    from loads.clock import SystemClock
    from loads.plan import RunPlan
    from loads.supervisor import AllReady, Supervisor

    url, text = sys.argv[1:]
    scratch = tempfile.mkdtemp()
    Path(scratch, "test_it.py").write_text(text)
    plan = RunPlan("test_it", users=(4,), hits=(1_000_000,), server_url=url)
    supervisor = Supervisor(plan, scratch, 2, SystemClock(), scratch=scratch)
    while AllReady() not in supervisor.poll():
        time.sleep(0.01)
    supervisor.start()
    print("started", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("load", ["waiting", "busy"])
def test_workers_end_when_their_supervisor_is_killed(
    stage: Stage, target: Target, load: str
) -> None:
    """Load that nobody counts or could stop is an attack: also when greenlets cannot run."""
    text = textwrap.dedent(SITE)
    if load == "busy":
        text += "        while True: pass\n"
    script = stage.write("orphans.py", ORPHANS)
    supervisor = stage.start("supervisor", "python", script, target.url, text)
    supervisor.says("started")
    until(lambda: target.hits >= 2, "hits")
    assert len(supervisor.workers) == 2
    assert list(stage.tmp.iterdir())
    supervisor.signal(signal.SIGKILL)
    until(lambda: not stage.survivors(), "the end of the workers")
    assert not list(stage.tmp.iterdir()), "the scratch directory went with them"
