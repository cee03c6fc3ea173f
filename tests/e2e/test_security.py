"""A broker that was started with nothing but tcp endpoints: who gets in, and what can be seen."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.errors import LoadsError
from loads.protocol.roles import Role
from loads.transport.keys import KeyRing
from loads.transport.tokens import read_token
from tests.e2e.clocks import shifted
from tests.e2e.cluster import Cluster, Runner, site
from tests.e2e.locked import Locked
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

HOUR_S = 3600


@pytest.fixture
def locked(stage: Stage) -> Locked:
    stage.write("test_site.py", site("/"))
    stage.write("test_gate.py", site("/gate"))
    return Locked(stage)


def audited(locked: Locked) -> list[dict[str, str]]:
    """What the log says."""
    lines = (locked.stage.home / "audit.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


# -- who has a token -------------------------------------------------------------------------------


def test_a_token_is_all_it_takes(locked: Locked, target: Target) -> None:
    """An agent and a runner that know nothing else; who did what is in the result and the log."""
    locked.agent(locked.token("box", "agent")).says("Registered with the broker")
    options = ("-a", 1, "-u", 3, "--hits", 5, "--server-url", target.url)
    anne = locked.token("anne", "runner")
    result = locked.start(anne, "test_site", *options, "--user-id", "anne@example").wait()
    assert result.code == 0
    assert result.hits == target.hits == 15
    assert result.summary["submitted_by"] == "anne"
    done = audited(locked)
    assert [(entry["what"], entry.get("key")) for entry in done[:2]] == [
        ("add key", "box"),
        ("add key", "anne"),
    ]
    assert {**done[2], "at": ""} == {
        "at": "",
        "what": "submit",
        "by": "anne",
        "role": "runner",
        "user_id": "anne@example",
        "run_id": result.summary["run_id"],
        "target": "test_site",
        "outcome": "done",
    }


def test_a_token_in_a_file_or_the_environment(locked: Locked, target: Target) -> None:
    stage = locked.stage
    locked.agent("", {"LOADS_BROKER": locked.token("box", "agent")}).says("Registered")
    file = stage.root / "token"
    locked.keys("add", "anne", "--role", "runner", "--at", locked.frontend, "-o", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    options = ("test_site", "-a", 1, "--server-url", target.url)
    assert locked.start(f"@{file}", *options).wait().code == 0
    env = {**locked.elsewhere, "LOADS_BROKER": file.read_text().strip()}
    assert Runner(stage, *options, env=env).wait().code == 0
    assert target.hits == 2


def test_the_owner_needs_none_on_this_machine(locked: Locked, target: Target) -> None:
    """v1's command lines: the endpoint is enough, and the port is locked all the same."""
    locked.stage.start("agent", "loads-agent", "--broker", locked.frontend).says("Registered")
    result = Runner(locked.stage, "test_site", "-a", 1, "--broker", locked.frontend,
                    "--server-url", target.url).wait()  # fmt: skip
    assert result.code == 0
    assert result.hits == target.hits == 1
    assert result.summary["submitted_by"] == "@owner"
    refused(locked.agent(locked.frontend), "is locked, and no key was given")


def test_loopback_is_locked_as_well(stage: Stage, target: Target) -> None:
    """Other users of a machine reach its loopback too."""
    cluster = Cluster(stage, tcp=True)
    stage.write("test_site.py", site("/"))
    assert cluster.run("test_site", "--server-url", target.url).hits == target.hits == 1
    env = {"LOADS_HOME": str(stage.root / "elsewhere")}
    stranger = stage.start("runner", "loads-runner", "--ping-broker", *cluster.at, env=env)
    refused(stranger, "is locked, and no key was given")


# -- who has none, or a bad one --------------------------------------------------------------------


def refused(process: Process, *words: str) -> None:
    assert process.wait() == 5
    for word in words:
        assert word in process.err
    assert "Traceback" not in process.err


#: Who is refused: what stands for the token, and the words that say why.
REFUSED = {
    "no key": ("", "is locked, and no key was given"),
    "wrong server key": ("elsewhere", "does not have the key of the broker"),
    "revoked": ("revoked", "refuses the key eve: it was revoked"),
    "expired": ("expired", "refuses the key eve: it has expired"),
}


def bad_token(locked: Locked, kind: str) -> str:
    if not kind:
        return locked.frontend
    if kind == "elsewhere":
        ring = KeyRing(locked.stage.root / "another")
        return ring.add("eve", Role.AGENT, locked.frontend, 0)
    if kind == "expired":
        return locked.token("eve", "agent", expires=time.time() - 1)
    token = locked.token("eve", "agent")
    locked.keys("revoke", "eve")
    return token


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_refused_is_told_why(locked: Locked, case: str) -> None:
    kind, words = REFUSED[case]
    token = bad_token(locked, kind)
    refused(locked.agent(token), words)
    refused(locked.start(token, "test_site", "-a", 1).process, words)
    pinged = ("loads-runner", "--ping-broker", "--broker", token)
    refused(locked.stage.start("runner", *pinged, env=locked.elsewhere), words)


def test_a_token_in_the_wrong_role(locked: Locked) -> None:
    tokens = {role: locked.token(f"a-{role}", role) for role in ("agent", "runner", "viewer")}
    for role in ("agent", "viewer"):
        run = locked.start(tokens[role], "test_site", "-a", 1)
        refused(run.process, f"{role}'s, which may not submit runs", "--role runner")
    for role in ("runner", "viewer"):
        refused(locked.agent(tokens[role]), f"its role is {role}, and the backend is for the role")
    broker = locked.stage.start("runner", "loads-runner", "--ping-broker", "--broker",
                                tokens["viewer"], env=locked.elsewhere)  # fmt: skip
    assert broker.wait() == 0
    assert tokens["viewer"] not in broker.out
    assert [entry["by"] for entry in audited(locked) if entry["what"] == "submit"] == [
        "a-agent",
        "a-viewer",
    ]


def test_a_token_that_is_cut_off(locked: Locked) -> None:
    token = locked.token("box", "agent")[:-9]
    agent = locked.agent(token)
    assert agent.wait() == 2
    assert "The token is damaged" in agent.err
    env = {**locked.elsewhere, "LOADS_BROKER": token}
    runner = locked.stage.start("runner", "loads-runner", "test_site", "-a", 1, env=env)
    assert runner.wait() == 2
    assert "The token is damaged" in runner.err
    assert token[20:] not in agent.err + runner.err


# -- revocation of who is there --------------------------------------------------------------------


def test_an_idle_agent_whose_token_is_revoked_leaves(locked: Locked) -> None:
    agent = locked.agent(locked.token("box", "agent"))
    agent.says("Registered with the broker")
    locked.keys("revoke", "box")
    refused(agent, "The key box was revoked")


def test_an_agent_whose_token_is_revoked_in_a_run_stops_its_load(
    locked: Locked, target: Target
) -> None:
    agent, other = (locked.agent(locked.token(name, "agent")) for name in ("box", "crate"))
    for process in (agent, other):
        process.says("Registered with the broker")
    runner = locked.start(locked.token("anne", "runner"), "test_gate", "-a", 2, "--hits", 3,
                          "--server-url", target.url)  # fmt: skip
    until(lambda: target.hits == 2, "both users at the gate")
    locked.keys("revoke", "box")
    refused(agent, "The key box was revoked")
    target.open_gate()
    result = runner.wait()
    assert result.code == 4
    assert "its key is good no longer" in "".join(result.warnings)
    assert result.hits == 3
    assert target.hits == 4, "the one that was at the gate when its agent was sent away"


def test_a_token_that_expires_in_use(locked: Locked) -> None:
    agent = locked.agent(locked.token("box", "agent", expires=time.time() + HOUR_S))
    agent.says("Registered with the broker")
    locked.expire("box", time.time() + 1)
    refused(agent, "The key box has expired")


def test_a_viewer_watches_until_revoked(locked: Locked, target: Target) -> None:
    locked.agent(locked.token("box", "agent")).says("Registered with the broker")
    runner = locked.start(locked.token("anne", "runner"), "test_gate", "-a", 1,
                          "--server-url", target.url)  # fmt: skip
    until(lambda: target.hits == 1, "the user at the gate")
    run_id = locked.broker.says(" started on ").split("Run ")[1].split()[0]
    with BrokerClient(locked.token("vic", "viewer"), SystemClock()) as vic:
        view = vic.get(run_id).view
        assert (view.state, view.submitted_by) == ("running", "anne")
        with pytest.raises(Exception, match="a viewer's, which may not stop runs"):
            vic.stop(run_id, 0)
        locked.keys("revoke", "vic")
        locked.broker.says("The key vic was revoked")
        with pytest.raises(Exception, match="The key vic was revoked"):
            vic.get(run_id)
    target.open_gate()
    assert runner.wait().hits == target.hits == 1


# -- revocation of who was there before the broker ended -------------------------------------------


class Absence:
    """A broker that is killed and, on leaving, started again with a key that is good no longer."""

    def __init__(self, locked: Locked, name: str, role: str, how: str) -> None:
        self._locked, self._name, self._expires = locked, name, how == "expired"
        good_until = time.time() + HOUR_S if self._expires else None
        self.token = locked.token(name, role, good_until)
        #: the environment of the peer, for which it is late enough when it is refused
        self.clock = shifted("+2h") if self._expires else None

    def __enter__(self) -> None:
        self._locked.broker.signal(signal.SIGKILL)
        self._locked.broker.wait()

    def __exit__(self, *exception: object) -> None:
        if self._expires:
            self._locked.expire(self._name, time.time())
        else:
            self._locked.keys("revoke", self._name)
        self._locked.start_broker()


#: How a key is withdrawn meanwhile, and why it is then refused.
WITHDRAWN = {"revoked": "it was revoked", "expired": "it has expired"}
withdrawn = pytest.mark.parametrize(
    "how", ["revoked", pytest.param("expired", marks=pytest.mark.needs("faketime"))]
)


@withdrawn
def test_an_idle_agent_that_was_revoked_while_the_broker_was_away(locked: Locked, how: str) -> None:
    absence = Absence(locked, "box", "agent", how)
    agent = locked.agent(absence.token, absence.clock)
    agent.says("Registered with the broker")
    with absence:
        pass
    refused(agent, "refuses the key box", WITHDRAWN[how])


@withdrawn
def test_an_agent_in_a_run_that_was_revoked_while_the_broker_was_away(
    locked: Locked, target: Target, how: str
) -> None:
    """It stops its load, and nobody waits for what it might say: another is known to be exact."""
    anne, crate = locked.token("anne", "runner"), locked.token("crate", "agent")
    absence = Absence(locked, "box", "agent", how)
    agents = [locked.agent(absence.token, absence.clock), locked.agent(crate)]
    for agent in agents:
        agent.says("Registered with the broker")
    options = ("test_gate", "-a", 2, "--hits", 3, "--server-url", target.url)
    runner = locked.start(anne, *options)
    until(lambda: target.hits == 2, "both users at the gate")
    with absence:
        pass
    refused(agents[0], "refuses the key box", WITHDRAWN[how])
    agents[1].says("The broker is back; the run goes on")
    target.open_gate()
    result = runner.wait()
    assert result.code == 4
    assert "cannot come back, as its key is good no longer" in "".join(result.warnings)
    assert result.hits == 3
    assert target.hits == 4, "the one that was at the gate when its agent was refused"


@withdrawn
def test_who_follows_a_run_and_was_revoked_while_the_broker_was_away(
    locked: Locked, target: Target, how: str
) -> None:
    """Is told so, and not that the broker is silent; the run goes on."""
    locked.agent(locked.token("box", "agent")).says("Registered with the broker")
    absence = Absence(locked, "anne", "runner", how)
    options = ("test_gate", "-a", 1, "--hits", 3, "--server-url", target.url)
    runner = locked.start(absence.token, *options, env=absence.clock)
    until(lambda: target.hits == 1, "the user at the gate")
    with absence:
        pass
    refused(runner.process, "is followed no longer: The broker at", WITHDRAWN[how])
    target.open_gate()
    locked.broker.says(" ended: finished, 3 hits")
    assert target.hits == 3


@withdrawn
def test_who_submits_and_is_revoked_while_the_broker_is_away(locked: Locked, how: str) -> None:
    absence = Absence(locked, "anne", "runner", how)
    with absence:
        options = ("test_site", "-a", 1, "--detach")
        runner = locked.start(absence.token, *options, env=absence.clock)
    refused(runner.process, "refuses the key anne", WITHDRAWN[how])
    assert "submit" not in [entry["what"] for entry in audited(locked)]


# -- what can be seen ------------------------------------------------------------------------------


def test_tokens_are_seen_nowhere(locked: Locked, target: Target) -> None:
    """Not among the processes, in no log, in no result, and nowhere in the broker's home."""
    box, anne = locked.token("box", "agent"), locked.token("anne", "runner")
    agent = locked.agent(box)
    agent.says("Registered with the broker")
    runner = locked.start(anne, "test_gate", "-a", 1, "--server-url", target.url)
    until(lambda: target.hits == 1, "the user at the gate")
    seen = {
        f"command line of {entry}": Path(f"/proc/{entry}/cmdline").read_bytes()
        for entry in os.listdir("/proc")
        if entry.isdigit() and Path(f"/proc/{entry}/cmdline").exists()
    }
    (worker,) = agent.workers
    seen["worker"] = Path(f"/proc/{worker}/environ").read_bytes()
    target.open_gate()
    assert runner.wait().code == 0
    for directory in (locked.stage.home, locked.stage.logs_at, locked.stage.tmp):
        seen |= {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    del seen[str(locked.stage.logs_at / "keys-1.out")]  # where the tokens are meant to be shown
    del seen[str(locked.stage.logs_at / "keys-2.out")]
    seen["summary"] = runner.summary_at.read_bytes()
    for token in (box, anne):  # what is looked for is of the secret half
        found = [where for where, content in seen.items() if token[55:90].encode() in content]
        assert not found


def test_all_files_are_the_users_own(locked: Locked) -> None:
    locked.agent(locked.token("box", "agent")).says("Registered with the broker")
    for path in (locked.stage.home, *locked.stage.home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_home_that_others_can_look_into_is_refused(stage: Stage) -> None:
    stage.home.mkdir(mode=0o755)
    broker = stage.start("broker", "loads-broker", "--frontend", "tcp://127.0.0.1:0")
    assert broker.wait() == 2
    assert f"chmod 700 {stage.home}" in broker.err


def test_the_first_start_says_where_the_keys_are_and_no_other_does(stage: Stage) -> None:
    outs = []
    for _ in range(2):
        broker = Locked(stage).broker
        broker.says("loads-keys add --role agent")
        assert broker.terminate() == 0
        outs.append(broker.out)
    assert f"Its keys were made, and are in {stage.home}" in outs[0]
    assert "were made" not in outs[1]


def test_insecure_is_said_at_each_start(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", site("/"))
    for _ in range(2):
        open_one = Locked(stage, "--insecure")
        open_one.broker.says("WARNING: --insecure")
        open_one.agent(open_one.frontend).says("Registered with the broker")
        run = open_one.start(open_one.frontend, "test_site", "-a", 1, "--server-url", target.url)
        assert run.wait().code == 0
        name = f"eve-{target.hits}"
        token = KeyRing(stage.home).add(name, Role.RUNNER, open_one.frontend, 0)
        refused(
            open_one.start(token, "test_site", "-a", 1).process,
            "does not have the key of the broker",
            "--insecure",
        )
        for process in reversed(stage.processes):
            if process.code is None:
                process.terminate()
    assert target.hits == 2


def test_a_broker_without_options_needs_no_key(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", site("/"))
    cluster = Cluster(stage)
    result = cluster.run("test_site", "--server-url", target.url)
    assert result.hits == target.hits == 1
    assert result.summary["submitted_by"] == "local"
    assert not {"broker.key", "owner.key", "keys"} & {path.name for path in stage.home.iterdir()}
    assert "key" not in cluster.broker.out


def test_keys_are_listed(locked: Locked) -> None:
    agent = locked.agent(locked.token("box", "agent"))
    agent.says("Registered with the broker")
    locked.token("anne", "runner")
    locked.keys("revoke", "anne")
    until(lambda: KeyRing(locked.stage.home).keys()[0][1].used, "the note of the use")
    rows = [re.split(r"  +", row) for row in locked.keys("list").out.splitlines()]
    assert rows[0] == ["NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED"]
    assert [row[:3] for row in rows[1:]] == [
        ["anne", "runner", "revoked"],
        ["box", "agent", "valid"],
    ]
    assert [row[5] == "-" for row in rows[1:]] == [True, False]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["add", "box", "--role", "agent"], "It is not known where the broker is"),
        (["add", "box", "--role", "agent", "--at", "box"], "is no endpoint"),
        (["add", "b/x", "--role", "agent", "--at", "tcp://a:1"], "is no name for a key"),
        (["add", "box", "--role", "owner", "--at", "tcp://a:1"], "is not one of"),
        (
            ["add", "box", "--role", "agent", "--at", "tcp://a:1", "--expires", "soon"],
            "is not a time",
        ),
        (
            ["add", "box", "--role", "agent", "--at", "tcp://a:1", "--expires", "0d"],
            "is not a time",
        ),
        (["revoke", "box"], "There is no key box"),
    ],
)
def test_mistakes_with_keys(stage: Stage, args: list[str], words: str) -> None:
    process = stage.start("keys", "loads-keys", *args)
    assert process.wait() == 2
    assert words in process.err
    assert "Traceback" not in process.err
    assert not process.out


# -- what travels ----------------------------------------------------------------------------------

MARKED = """
    import os
    from loads.case import TestCase

    class TestCrownJewels(TestCase):
        def test_home(self):
            self.session.get(self.server_url + "/hidden-path")
"""
MARKS = (b"test_crown.py", b"TestCrownJewels", b"hidden-path", b"hush-hush", b"LOADS/1")


@pytest.mark.needs("tcpdump")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may capture traffic")
@pytest.mark.parametrize("options", [(), ("--insecure",)], ids=["locked", "insecure"])
def test_what_a_capture_of_the_traffic_shows(
    stage: Stage, target: Target, options: tuple[str, ...]
) -> None:
    """Neither the test nor the results; and to show that it would: everything, when insecure."""
    stage.write("test_crown.py", MARKED)
    locked = Locked(stage, *options)
    tokens = [locked.frontend] * 2
    if not options:
        tokens = [locked.token("box", "agent"), locked.token("anne", "runner")]
    ports = [endpoint.rpartition(":")[2] for endpoint in
             (locked.frontend, locked.backend, locked.publisher)]  # fmt: skip
    file = stage.root / "capture"
    options_of_tcpdump = ("-i", "lo", "--immediate-mode", "-U", "-Z", "root", "-w", file)
    filtered = " or ".join(f"tcp port {port}" for port in ports)
    capture = stage.start("tcpdump", "tcpdump", *options_of_tcpdump, filtered)
    capture.says("listening on lo")
    locked.agent(tokens[0]).says("Registered with the broker")
    env = ("--env", "SECRET=hush-hush")
    run = locked.start(tokens[1], "test_crown", "-a", 1, "-u", 2, "--hits", 20, *env,
                       "--server-url", target.url)  # fmt: skip
    assert run.wait().hits == target.hits == 40
    capture.terminate()
    captured = file.read_bytes()
    assert len(captured) > 10_000
    assert {mark for mark in MARKS if mark in captured} == (set(MARKS) if options else set())


def test_the_record_says_what_came_of_stopping_a_run_that_is_not_there(stage: Stage) -> None:
    """The answer is looked up in the storage, and so is later than the request."""
    locked = Locked(stage)
    access = read_token(locked.token("anne", "runner"))
    with BrokerClient(access, SystemClock()) as client:
        for _ in range(5):
            with pytest.raises(LoadsError, match="knows no run nonsense"):
                client.stop("nonsense", 0.0)
    stops = [entry for entry in audited(locked) if entry["what"] == "stop"]
    assert [(entry["by"], entry["run_id"], entry["outcome"]) for entry in stops] == [
        ("anne", "nonsense", "refused: The broker knows no run nonsense.")
    ]
