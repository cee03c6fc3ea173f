"""Users' tests as they are: the same verdicts everywhere, all that they need, all that they do."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, Result, run
from tests.e2e.sockets import SocketServer
from tests.e2e.stage import COMMANDS, Stage
from tests.e2e.targets import Target, serving
from tests.e2e.waiting import until

PROJECTS = Path(__file__).parent / "projects"


def lay_project(stage: Stage, name: str) -> None:
    """Make a sample project the user's."""
    shutil.copytree(PROJECTS / name, stage.project, dirs_exist_ok=True)


# -- six kinds of test -----------------------------------------------------------------------------

USERS = 50
KINDS = 7
OF_UNITTEST = {"/fast/session": 1, "/fast/app": 1, "/fast/unittest": 1, "/broken": 1}
OF_PYTEST = {**OF_UNITTEST, "/fast/function": 1}


class Servers:
    """What the tests are held against."""

    def __init__(self, target: Target, sockets: SocketServer) -> None:
        self.target = target
        self.sockets = sockets
        self.environment = {"SITE": target.url, "SOCKETS": sockets.url}

    def take(self) -> dict[str, int]:
        """What was requested since the last time."""
        taken = dict(self.target.counts)
        self.target.counts.clear()
        return taken


@pytest.fixture(scope="module")
def servers(shared_stage: Stage) -> Iterator[Servers]:
    lay_project(shared_stage, "six")
    with serving() as target:
        yield Servers(target, SocketServer(shared_stage))


@pytest.mark.parametrize(
    ("runner", "says", "requests"),
    [
        (("unittest", "test_six"), r"Ran 5 tests .*\n\nFAILED \(failures=1\)", OF_UNITTEST),
        (("pytest", "-q", "test_six.py"), r"\b1 failed, 6 passed", OF_PYTEST),
    ],
)
def test_six_kinds_of_test_pass_by_themselves(
    shared_stage: Stage, servers: Servers, runner: tuple[str, ...], says: str, requests: Any
) -> None:
    """One test fails, as it is meant to; of functions, unittest knows nothing."""
    servers.take()
    env = servers.environment
    process = shared_stage.start("alone", "python", "-m", *runner, env=env)
    assert process.wait() == 1
    assert re.search(says, process.out + process.err)
    assert servers.take() == requests


@pytest.mark.parametrize("agents", [0, 2], ids=["here", "on a cluster"])
def test_six_kinds_of_test_as_load(shared_stage: Stage, servers: Servers, agents: int) -> None:
    """The same verdicts for each of 50 users, and each request of each of them is a hit."""
    servers.take()
    before = servers.sockets.counts
    env = [f"--env={name}={value}" for name, value in servers.environment.items()]
    options = ("test_six", "-u", USERS, "--hits", KINDS, *env)
    result = Cluster(shared_stage, agents).run(*options) if agents else run(shared_stage, *options)
    calls = USERS * max(agents, 1)

    assert result.code == 1
    assert result.tests == {
        "success": 6 * calls,
        "failures": calls,
        "errors": 0,
        "skipped": 0,
        "cut": 0,
    }
    (failure,) = result.summary["failures"]
    assert failure["tests"] == ["test_six.TestPlain.test_that_fails"]
    assert (failure["message"], failure["count"]) == ("500 != 200", calls)

    assert servers.take() == dict.fromkeys(OF_PYTEST, calls)
    here = [url for url in result.summary["urls"] if "in process" in url["name"]]
    assert [(url["method"], url["hits"]) for url in here] == [("GET", calls)]
    assert result.hits == len(OF_PYTEST) * calls + calls

    opened = before["opened"] + calls
    until(lambda: servers.sockets.counts["closed"] == opened, "the end of all web sockets", 10)
    sockets = result.summary["websockets"]
    assert [sockets[name] for name in ("opened", "closed", "messages_sent")] == [calls] * 3
    assert sockets["messages_received"] == calls
    assert result.summary["counters"] == {"greeted": calls}


# -- what a test needs -----------------------------------------------------------------------------

LIBRARY = "loads_sample_library"


def make_wheel(folder: Path, word: str = "from the library") -> Path:
    """A library as pip installs it, and nobody else has."""
    info = f"{LIBRARY}-1.0.dist-info"
    files = {
        f"{LIBRARY}.py": f"NAME = {word!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {LIBRARY}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    wheel = folder / f"{LIBRARY}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return wheel


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pip ask nobody on the network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def installed(stage: Stage) -> list[Path]:
    """What agents have installed, each set of libraries in a directory of its own."""
    return list((stage.root / "cache" / "loads" / "python-deps").iterdir())


def test_all_that_a_test_needs_comes_to_the_agents(
    stage: Stage, target: Target, tmp_path: Path
) -> None:
    """Its package with modules and data, what is beside it, a file that is named, a library.

    The library is installed once: the second run finds it, though there is none to install.
    """
    lay_project(stage, "shop")
    wheel = make_wheel(tmp_path)
    cluster = Cluster(stage, agents=2)
    options = (
        *("shop.tests.test_pages.TestPages.test_pages", "-u", 3, "--hits", 2),
        *("--python-dep", wheel, "--include-file", "*.txt", "--server-url", target.url),
    )
    for runs in (1, 2):
        result = cluster.run(*options)
        assert result.code == 0
        assert result.summary["counters"] == {"words": 36, "from the library": 12}
        assert result.hits == 24
        assert target.counts == {"/fast/home": 12 * runs, "/fast/cart/apple-plum": 12 * runs}
        wheel.unlink(missing_ok=True)
    (libraries,) = installed(stage)
    assert (libraries / f"{LIBRARY}.py").is_file()


def test_a_library_of_the_project_travels_and_is_known_by_its_content(stage: Stage) -> None:
    """Another library under the same name is another one, and not the first again."""
    stage.write(
        "test_it.py",
        f"""
        from loads.case import TestCase

        class TestIt(TestCase):
            def test_it(self):
                from {LIBRARY} import NAME
                self.incr_counter(NAME)
        """,
    )
    folder = stage.project / "wheels"
    folder.mkdir()
    cluster, wheel = Cluster(stage), folder
    for number, name in enumerate(("one", "two", "two"), 1):
        wheel = make_wheel(folder, name) if number < 3 else wheel
        options = ("--python-dep", wheel if number == 1 else f"wheels/{wheel.name}")
        result = cluster.run("test_it", *options)
        assert result.code == 0, result.err
        assert result.summary["counters"] == {name: 1}
        assert result.summary["plan"]["python_deps"] == [f"./wheels/{wheel.name}"]
        assert len(installed(stage)) == min(number, 2)


def test_a_library_that_cannot_be_installed_ends_the_run(stage: Stage) -> None:
    """With pip's own words, before anything is requested; the agent is ready for the next run."""
    stage.write("test_it.py", "def test():\n    pass\n")
    cluster = Cluster(stage)
    runner = cluster.start("test_it", "--python-dep", "no-such-library-anywhere")
    assert runner.process.wait() == 2
    assert "pip cannot install what the test needs." in runner.process.err
    assert "No matching distribution found for no-such-library-anywhere" in runner.process.err
    assert installed(stage) == []
    assert cluster.run("test_it").code == 0


def test_without_its_library_a_test_is_refused(stage: Stage) -> None:
    lay_project(stage, "shop")
    runner = Cluster(stage).start("shop.tests.test_pages")
    assert runner.process.wait() == 2
    assert f"No module named '{LIBRARY}'" in runner.process.err
    assert "Install what the test needs" in runner.process.err


# -- what goes wrong in a test ---------------------------------------------------------------------


def test_a_failing_test_is_counted_and_its_user_goes_on(stage: Stage, target: Target) -> None:
    """Under the name of the test, or of the class whose set-up it was, once for each worker."""
    stage.write(
        "test_trouble.py",
        """
        from loads import TestCase

        class TestTrouble(TestCase):
            def visit(self, name):
                self.session.get(self.server_url + "/fast/" + name)
            def test_assert(self):
                self.visit("assert")
                assert 1 == 2, "a plain assert"
            def test_fine(self):
                self.visit("fine")

        class TestSetUp(TestTrouble):
            def setUp(self):
                self.visit("set-up")
                raise OSError("no set-up")
            test_assert = None

        class TestTearDown(TestTrouble):
            def tearDown(self):
                self.visit("tear-down")
                raise OSError("no tear-down")
            test_assert = None

        class TestSetUpClass(TestTrouble):
            @classmethod
            def setUpClass(cls):
                raise OSError("no class")
        """,
    )
    options = ("-u", 10, "--hits", 8, "--workers", 2, "--server-url", target.url)
    result = run(stage, "test_trouble", *options)
    assert result.code == 1
    counted = {
        failure["message"]: (failure["kind"], failure["count"], failure["tests"])
        for failure in result.summary["failures"]
    }
    name = "test_trouble.Test"
    assert counted == {
        "a plain assert": ("failure", 20, [f"{name}Trouble.test_assert"]),
        "no set-up": ("error", 20, [f"{name}SetUp.test_fine"]),
        "no tear-down": ("error", 20, [f"{name}TearDown.test_fine"]),
        "no class": ("error", 2, [f"{name}SetUpClass.setUpClass"]),
    }
    assert result.tests["success"] == 20
    assert target.counts == {
        "/fast/assert": 20,
        "/fast/set-up": 20,
        "/fast/tear-down": 20,
        "/fast/fine": 40,
    }


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_a_test_that_keeps_others_from_running_is_named(stage: Stage, agents: int) -> None:
    """The line that blocks, in the author's own file."""
    stage.write(
        "test_selfish.py",
        """
        from gevent import monkey

        really_sleep = monkey.get_original("time", "sleep")

        def compute():
            really_sleep(1.5)  # this is line 7

        def test():
            compute()
        """,
    )
    result = Cluster(stage, agents).run("test_selfish") if agents else run(stage, "test_selfish")
    assert result.code == 0
    (warning,) = result.warnings
    assert "kept its worker from running other users for over 1 s" in warning
    assert "at test_selfish.py, line 7, in compute." in warning
    assert warning in " ".join(result.err.split()) + " ".join(result.out.split())


# -- debugging -------------------------------------------------------------------------------------


def in_a_terminal(stage: Stage, typed: dict[str, str], *options: object) -> tuple[int, str]:
    """Run ``loads-runner`` in a terminal, and type something when it shows something.

    Gives its exit status and all that was shown.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(COMMANDS / "loads-runner"), *map(str, options)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=stage.project,
        env={**stage.environment, "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    waiting = dict(typed)
    try:
        while True:
            try:
                piece = os.read(ours, 4096).decode(errors="replace")
            except OSError:  # nobody has the other end any more
                break
            if not piece:
                break
            shown += piece
            for prompt in [prompt for prompt in waiting if prompt in shown]:
                os.write(ours, waiting.pop(prompt).encode())
        return process.wait(), shown.replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_breakpoint_works(stage: Stage, target: Target) -> None:
    """In the terminal, with several users: the debugger stops one, is asked, and lets it go on."""
    stage.write(
        "test_debug.py",
        """
        from loads import TestCase

        stopped = []

        class TestDebug(TestCase):
            def test(self):
                answer = self.session.get(self.server_url + "/")
                if not stopped:
                    stopped.append(True)
                    breakpoint()
                print("printed:", answer.status_code)
        """,
    )
    code, shown = in_a_terminal(
        stage,
        {"(Pdb) ": "p 'it is ' + str(answer.status_code)\n", "'it is 200'": "c\n"},
        *("test_debug", "--debug", "-u", 2, "--hits", 3, "--server-url", target.url),
    )
    assert code == 0, shown
    assert "test_debug.py(12)test()" in shown
    assert shown.count("printed: 200") == 6
    assert target.hits == 6


def test_debugging_shows_what_is_printed_and_very_verbose_what_is_sent(
    stage: Stage, target: Target
) -> None:
    stage.write(
        "test_site.py",
        """
        from loads import TestCase

        class TestSite(TestCase):
            def test(self):
                self.session.post(self.server_url + "/", data=b"", headers={"X-Mine": "yes"})
                self.session.get(self.server_url + "/broken")
                print("a word of mine")
        """,
    )
    shown: dict[str, Result] = {
        options: run(stage, "test_site", "--server-url", target.url, *options.split())
        for options in ("", "--debug", "-vv", "--debug -v")
    }
    for options, result in shown.items():
        assert result.code == 0
        assert result.hits == 2
        assert ("a word of mine" in result.out) is bool(options)
        exchanges = "v" in options
        for words in (f"> POST {target.url}/\n", "> X-Mine: yes\n", "< 200 OK (", "< hello world"):
            assert (words in result.out) is exchanges, (options, words)
        assert ("< 500 Internal Server Error (" in result.out) is exchanges
    assert target.hits == 8
