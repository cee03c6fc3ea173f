"""What ``loads-runner`` makes of its command line, its variables and its files."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from loads.cli import planning, run
from loads.cli.options import RunnerCommand, gather, is_instead, runner_options
from loads.config import Configuration
from loads.errors import UsageError
from loads.outputs.base import Outputs
from loads.plan import RunPlan

TEST = "test_shop.TestShop.test_buy"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's project, as the current directory; nothing of Loads in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("LOADS_BROKER", "LOADS_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "test_shop.py").write_text("")
    (tmp_path / "data").mkdir()
    return tmp_path


def gathered(line: str, environ: dict[str, str] | None = None) -> Configuration:
    """The settings that a command line makes, with the real options and without the command."""
    found: list[Configuration] = []

    @click.command(cls=RunnerCommand)
    @runner_options
    @click.pass_context
    def command(context: click.Context, **_: object) -> None:
        found.append(gather(context, environ or {}, Path.cwd()))

    command.main(shlex.split(line), standalone_mode=False)
    return found[0]


def planned(line: str, environ: dict[str, str] | None = None) -> RunPlan:
    """The plan that a command line makes."""
    settings = gathered(line, environ)
    return planning.make_plan(settings, planning.find_test(settings), environ or {})


def invoke(line: str, **environ: str) -> Result:
    """The outcome of a command that starts no process."""
    return CliRunner().invoke(run.main, shlex.split(line), env=environ, prog_name="loads-runner")


# -- the plan ------------------------------------------------------------------------------------

PLANS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("-u 10:20:30", {"users": (10, 20, 30)}),
    ("--users=7 --hits 5:10", {"users": (7,), "hits": (5, 10)}),
    ("-d 90", {"hits": (), "duration": 90.0}),
    ("--duration 5m", {"hits": (), "duration": 300.0}),
    ("-a 3", {"agents": 3}),
    ("-a 3 -b tcp://10.0.0.5:7780", {"agents": 3}),
    ("--server-url http://localhost:9000", {"server_url": "http://localhost:9000"}),
    ("--grace 1m", {"grace": 60.0}),
    ("--grace 0", {"grace": 0.0}),
    (
        "--python-dep rich --python-dep 'requests>=2,<3'",
        {"python_deps": ("rich", "requests>=2,<3")},
    ),
    ("--env A=1 --env B --env C==", {"env": {"A": "1", "B": "b", "C": "="}}),
    ("--url-names exact", {"url_names": "exact"}),
    ("--no-patching", {"patching": False}),
    ("--no-dns-resolve", {"resolve_once": False}),
    ("--batched", {}),
    ("--test-runner './run.js {test}'", {"test_runner": "./run.js {test}"}),
    ("--test-runner ./r --external-process-timeout 2", {"test_runner": "./r", "grace": 2.0}),
    ("--zmq-receiver ipc:///tmp/loads-receiver.ipc", {}),
    ("--quiet --output null --project-name shop --user-id me", {}),
]


@pytest.mark.parametrize(("line", "fields"), PLANS)
def test_the_plan_of_a_command_line(here: Path, line: str, fields: dict[str, Any]) -> None:
    plan = planned(f"{TEST} {line}", {"B": "b"})
    assert replace(plan, config={}) == RunPlan(**{"target": TEST, **fields})


V1_LINES = [
    f"{TEST}",
    f"{TEST} -u 10 --hits 10",
    f"{TEST} --users 10:20 --duration 30",
    f"{TEST} -u 100 -d 30 -a 4 -b ipc:///tmp/loads-front.ipc",
    f"{TEST} -u 1000 --hits 1 --output stdout",
    f"{TEST} --output null --quiet",
    f"{TEST} --output file --output-file-filename results.txt",
    f"{TEST} --output stdout --output funkload --output-funkload-filename report.xml",
    f"{TEST} --hits 2 --server-url=http://localhost:9000 --no-dns-resolve",
    f"{TEST} -a 2 --test-dir . --include-file '*.py' --include-file data --python-dep ws4py",
    f"{TEST} -a 2 --zmq-publisher ipc:///tmp/loads-publisher.ipc --batched",
    f"{TEST} --no-patching --project-name shop --user-id tarek",
    f"{TEST} -u 10:20:30 --hits 20 --agents 5",
    f"{TEST} -a 4 --test-dir /tmp/mytest --include-file '*.py' --include-file data --detach",
    f"{TEST} --test-dir /tmp/mytest --include-file data",
    f"{TEST} -a 1 --python-dep ws4py --python-dep requests==2.0 --zmq-receiver ipc:///tmp/r.ipc",
    f"{TEST} -a 1 --ssh tarek@loads-cluster:22 --broker tcp://127.0.0.1:7780",
    f"{TEST} -a 1 --test-runner './run {{test}}' --external-process-timeout 2",
    f"{TEST} -a 1 --observer irc --observer-irc-channel '#loads' --observer-irc-server irc.here"
    " --observer-irc-nickname loads --observer-irc-port 6667",
    f"{TEST} -a 1 --observer email --observer-email-sender a@here --observer-email-recipient b@here"
    " --observer-email-host here --observer-email-port 25 --observer-email-user a"
    " --observer-email-password secret --observer-email-subject 'Loads Results' --observer irc"
    " --observer-irc-server irc.here --observer-irc-channel '#loads'",
    "--config=./v1.ini",
    f"--config v1.ini --server-url=http://localhost:5000 {TEST}",
    f"--config v1.ini -u 3 --hits 4 {TEST}",
]


@pytest.mark.parametrize("line", V1_LINES)
def test_a_command_line_of_loads_1_is_a_plan(here: Path, line: str) -> None:
    (here / "v1.ini").write_text(
        f"[loads]\nfqn = {TEST}\nagents = 4\ninclude_file = *.py\n    data\n"
        "users = 5\nduration = 30\nquiet = True\n"
    )
    settings = gathered(line)
    assert planned(line).target == TEST
    assert len(planning.build_wishes(settings)) == line.count("--observer ")
    with Outputs(planning.build_outputs(settings)) as outputs:
        assert outputs.names or "--quiet" in line or "v1.ini" in line
    assert settings.warnings == ()


@pytest.mark.parametrize(
    "line",
    ["--attach", "--ping-broker", "--check-cluster", "--purge-broker", "--attach -b tcp://a:1"],
)
def test_what_loads_1_did_instead_of_a_test(here: Path, line: str) -> None:
    assert is_instead(gathered(line))


def test_a_file_of_loads_1_is_a_plan(here: Path) -> None:
    (here / "v1.ini").write_text(
        f"[loads]\nfqn = {TEST}\nagents = 4\n\ninclude_file = *.py\n               data\n"
        "users = 5\nduration = 30\ntoken = abc\n"
    )
    settings = gathered("--config v1.ini -u 6")
    target = planning.find_test(settings)
    plan = planning.make_plan(settings, target, {})
    assert (plan.agents, plan.users, plan.hits, plan.duration) == (4, (6,), (), 30.0)
    assert planning.files_of(settings, target) == ["*.py", "data", "v1.ini"]
    assert plan.config == {
        "token": "abc",
        "config": "v1.ini",
        "fqn": TEST,
        "agents": "4",
        "users": "6",
        "duration": "30",
        "grace": "30",
        "test_dir": ".",
        "include_file": "*.py,data",
        "url_names": "template",
    }


@pytest.mark.parametrize("name", ["loads.ini", "loads.toml"])
def test_the_example_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[3]
    monkeypatch.chdir(root)
    settings = gathered(f"--config examples/{name}")
    target = planning.find_test(settings)
    plan = planning.make_plan(settings, target, {})
    assert plan.target == "examples.test_site.TestSite.test_home"
    assert (plan.users, plan.hits, plan.server_url) == ((10, 20), (5,), "http://127.0.0.1:9000")
    assert settings.items("output") == ("console", "json")
    assert settings.text("output-json-filename") == "/tmp/loads-summary.json"
    assert settings.extra == {"shop": "books"}
    patterns = ["examples/*.ini", "examples/*.toml", f"examples/{name}"]
    assert planning.files_of(settings, target) == patterns
    assert settings.warnings == ()


def test_the_test_is_told_what_it_may_know(here: Path) -> None:
    told = planned(
        f"{TEST} -u 2:3 --hits 4 --server-url http://x --quiet --user-id me --python-dep a "
        "--python-dep b -b tcp://secret:1 -a 1 --env KEY=secret --output json "
        "--output-json-filename secret",
        {},
    ).config
    assert told == {
        "fqn": TEST,
        "users": "2:3",
        "hits": "4",
        "agents": "1",
        "grace": "30",
        "server_url": "http://x",
        "test_dir": ".",
        "quiet": "True",
        "user_id": "me",
        "python_dep": "a,b",
        "url_names": "template",
    }


def test_where_the_file_is_when_the_test_runs(here: Path) -> None:
    (here / "conf").mkdir()
    inside = here / "conf" / "loads[1].ini"
    for path in (inside, here.parent / "outside.ini"):
        path.write_text(f"[loads]\nfqn = {TEST}\n")
    local = planned("--config 'conf/loads[1].ini'")
    assert local.config["config"] == str(inside)
    settings = gathered("--config 'conf/loads[1].ini' -a 1")
    target = planning.find_test(settings)
    assert planning.make_plan(settings, target, {}).config["config"] == "conf/loads[1].ini"
    assert planning.files_of(settings, target) == ["conf/loads[[]1].ini"]
    settings = gathered("--config ../outside.ini -a 1")
    assert planning.files_of(settings, planning.find_test(settings)) == [], "it cannot travel"


def test_options_from_variables(here: Path) -> None:
    plan = planned(
        "", {"LOADS_FQN": TEST, "LOADS_USERS": "3", "LOADS_NO_PATCHING": "yes", "LOADS_ENV": "A=1"}
    )
    assert (plan.target, plan.users, plan.patching, plan.env) == (TEST, (3,), False, {"A": "1"})


def test_the_file_may_be_named_by_a_variable_or_be_there(here: Path) -> None:
    (here / "loads.toml").write_text(f"fqn = '{TEST}'\nusers = 2\n")
    (here / "other.ini").write_text(f"[loads]\nfqn = {TEST}\nusers = 3\n")
    assert planned("").users == (2,)
    assert planned("", {"LOADS_CONFIG": "other.ini"}).users == (3,)
    assert planned("--config loads.toml", {"LOADS_CONFIG": "other.ini"}).users == (2,)


@pytest.mark.parametrize(
    ("line", "level"),
    [("", 0), ("-v", 0), ("--debug", 1), ("--debug -v", 2), ("-vv", 2), ("-v --verbose", 2)],
)
def test_levels_of_debugging(line: str, level: int) -> None:
    assert planning.debug_level(gathered(line)) == level


def test_the_broker_is_named_or_this_users_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADS_RUNTIME_DIR", "/run/x")
    assert str(planning.find_frontend(gathered(""))) == "ipc:///run/x/frontend.sock"
    assert str(planning.find_frontend(gathered("-b tcp://a:1"))) == "tcp://a:1"
    variable = {"LOADS_BROKER": "tcp://b:1"}
    assert str(planning.find_frontend(gathered("", variable))) == "tcp://b:1"
    assert str(planning.find_frontend(gathered("-b tcp://a:1", variable))) == "tcp://a:1"
    assert planned(TEST, variable).agents == 0, "a broker that is merely there is not used"


# -- outputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("", ["console"]),
        ("--quiet", []),
        ("--output stdout", ["console"]),
        ("--output null --output console --output null", ["null", "console"]),
        ("--output null --output stdout --quiet", ["null"]),
    ],
)
def test_outputs_that_are_asked_for(line: str, names: list[str]) -> None:
    assert [name for name, _ in planning.build_outputs(gathered(line))] == names


def test_options_of_outputs_come_from_every_source(here: Path) -> None:
    (here / "loads.toml").write_text(
        'output = ["json"]\noutput-json-filename = "nowhere/file.json"\n'
    )
    with pytest.raises(UsageError, match=r"nowhere/file\.json"):
        planning.build_outputs(gathered(""))
    with pytest.raises(UsageError, match=r"nowhere/else\.json"):
        planning.build_outputs(gathered("", {"LOADS_OUTPUT_JSON_FILENAME": "nowhere/else.json"}))
    assert planning.build_outputs(gathered("--output-json-filename=-"))
    (here / "loads.toml").write_text('output = ["jsno"]\n')
    with pytest.raises(UsageError, match=r"^output = jsno \(in loads.toml\): There is no output"):
        planning.build_outputs(gathered(""))


# -- errors --------------------------------------------------------------------------------------

ERRORS = [
    ("", "There is no test to run."),
    (f"{TEST} --hits 0", "0 hits cannot be run."),
    (f"{TEST} -u abc", "--users abc is not a number."),
    (f"{TEST} --hits 1 -d 1", "--hits and --duration exclude each other."),
    (f"{TEST} -a 0", "--agents 0 cannot be run."),
    (f"{TEST} -a many", "--agents many is not a number."),
    (f"{TEST} -a 10001", "10001 agents cannot be asked for."),
    (f"{TEST} -b tcp://a:1", "--broker is given, but not how many of its agents to run on."),
    (f"{TEST} -d 0", "A duration of 0.0 seconds cannot be run."),
    (f"{TEST} -d soon", "soon is not a duration."),
    (f"{TEST} --grace never", "never is not a duration."),
    (f"{TEST} --workers 0", "--workers 0 cannot be had."),
    (f"{TEST} --output jsno", "There is no output 'jsno'."),
    (f"{TEST} --test-dir nowhere", "There is no directory "),
    (f"{TEST} --test-dir test_shop.py", "There is no directory "),
    (f"{TEST} --url-names some", "There is no --url-names some."),
    (f"{TEST} --env NOT_HERE", "--env NOT_HERE: there is no such variable here."),
    (f"{TEST} --env =1", "--env =1 has no name."),
    (f"{TEST} --config none.ini", "There is no file none.ini."),
    ("no_such.Test", "There is no module 'no_such'"),
]


@pytest.mark.parametrize(("line", "message"), ERRORS)
def test_what_cannot_be_run_is_refused_with_2_and_a_hint(
    here: Path, line: str, message: str
) -> None:
    result = invoke(line)
    assert result.exit_code == 2
    first, *hint = result.stderr.splitlines()
    assert first.startswith(f"Error: {message}")
    assert hint
    assert result.stdout == ""


def test_a_bad_value_names_the_file_or_the_variable(here: Path) -> None:
    (here / "loads.ini").write_text(f"[loads]\nfqn = {TEST}\nduration = 0\nworkers = 0\n")
    result = invoke("--config loads.ini")
    assert "duration = 0 (in loads.ini): A duration of 0.0 seconds" in result.stderr
    result = invoke("--config loads.ini --hits 1")
    assert "workers = 0 (in loads.ini): --workers 0 cannot be had." in result.stderr
    result = invoke(TEST, LOADS_AGENTS="x")
    assert "LOADS_AGENTS = x (in the environment): --agents x is not" in result.stderr


def test_warnings_are_one_line_on_standard_error(here: Path) -> None:
    (here / "loads.ini").write_text("[loads]\nuzers = 5\n")
    result = invoke("--config loads.ini", LOADS_UZERS="3")
    assert result.stderr.splitlines()[:2] == [
        'warning: loads.ini: "uzers" is no option; did you mean "users"? '
        "It is passed on to the test.",
        'warning: "LOADS_UZERS" is no option; did you mean "LOADS_USERS"? It is ignored.',
    ]


# -- the cluster ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "seconds"),
    [
        ("", 0.0),
        ("--wait-for-agents", None),
        ("--wait-for-agents=forever", None),
        ("--wait-for-agents 90", 90.0),
        ("--wait-for-agents 5m", 300.0),
        ("--wait-for-agents 0", 0.0),
    ],
)
def test_how_long_a_run_waits_for_agents(here: Path, option: str, seconds: float | None) -> None:
    settings = gathered(f"{option} {TEST} -a 2" if option else TEST)
    assert planning.patience_of(settings) == seconds
    assert planning.find_test(settings).name == TEST, "the test is not taken for a time"


def test_waiting_from_a_file_and_from_the_environment(here: Path) -> None:
    (here / "loads.ini").write_text(f"[loads]\nfqn = {TEST}\nwait_for_agents = 2m\n")
    assert planning.patience_of(gathered("--config loads.ini")) == 120.0
    forever = {"LOADS_WAIT_FOR_AGENTS": "forever"}
    assert planning.patience_of(gathered(TEST, forever)) is None


@pytest.mark.parametrize("option", ["--detach", "--wait-for-agents", "--wait-for-agents=5"])
def test_what_means_something_on_a_cluster_only(here: Path, option: str) -> None:
    result = invoke(f"{TEST} {option}")
    assert result.exit_code == 2
    assert "is for runs on a cluster, and this one is on this machine." in result.stderr
    assert "Add -a N." in result.stderr


def test_a_time_to_wait_that_is_none(here: Path) -> None:
    result = invoke(f"{TEST} -a 1 --wait-for-agents=soon")
    assert result.exit_code == 2
    assert "soon is not a duration." in result.stderr


@pytest.mark.parametrize(
    "line",
    ["--list-runs --list-agents", "--attach --stop 3f2a", "--check-cluster --health-check"],
)
def test_one_thing_at_a_time_instead_of_a_test(here: Path, line: str) -> None:
    result = invoke(line)
    assert result.exit_code == 2
    assert "exclude each other." in result.stderr


@pytest.mark.parametrize("option", ["--zmq-receiver", "--zmq-endpoint"])
def test_options_of_loads_1_without_a_meaning_are_noted(here: Path, option: str) -> None:
    result = invoke(f"{option} tcp://127.0.0.1:5555")
    assert f"note: {option} is no longer needed and has no effect." in result.stderr
    assert "There is no test to run." in result.stderr


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("localhost:9000", "http://localhost:9000"),
        ("localhost", "http://localhost"),
        ("//localhost/shop", "http://localhost/shop"),
        ("http:/localhost", "http://"),
        ("http://", "http://"),
    ],
)
def test_a_server_url_without_a_scheme_is_refused_at_once(here: Path, url: str, meant: str) -> None:
    result = invoke(f"{TEST} --server-url {url}")
    assert result.exit_code == 2
    assert f"--server-url {url} is no URL" in result.stderr
    assert meant in result.stderr


# -- where a test is, and where it runs ------------------------------------------------------------


def test_a_directory_elsewhere_is_where_agents_run_the_test(here: Path) -> None:
    """As in Loads 1; also when it is there already, with a copy of the test."""
    place = here.parent / "place"
    for _ in range(2):
        assert planned(f"{TEST} -a 2 --test-dir {place}").test_dir == str(place)
        assert planned(f"{TEST} --test-dir {place}").test_dir == "", "here it runs where it is"
        place.mkdir(exist_ok=True)
        (place / "test_shop.py").write_text("raise RuntimeError('stale')")


@pytest.mark.parametrize("line", ["--test-dir . -a 1", "-a 1", "--test-dir sub -a 1"])
def test_a_directory_of_the_project_is_where_the_test_is(here: Path, line: str) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "test_shop.py").write_text((here / "test_shop.py").read_text())
    settings = gathered(f"{TEST} {line}")
    target = planning.find_test(settings)
    assert target.project == (here / "sub" if "sub" in line else here)
    assert planning.make_plan(settings, target, {}).test_dir == ""


def test_a_test_that_is_only_in_a_directory_elsewhere_is_found_there(here: Path) -> None:
    place = here.parent / "other"
    place.mkdir()
    (place / "test_there.py").write_text("def test_it(): ...\n")
    settings = gathered(f"test_there.test_it -a 1 --test-dir {place}")
    target = planning.find_test(settings)
    assert target.project == place
    assert planning.make_plan(settings, target, {}).test_dir == ""
