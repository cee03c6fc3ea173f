"""Every kind of message in the mouth of every role: who is heard, and what the others are told."""

from __future__ import annotations

import pytest

from loads.broker.access import AUDITED, MAX_AUDITED
from loads.broker.actions import (
    Audit,
    Deny,
    FromAgent,
    FromClient,
    KeyGone,
    NotEntitled,
    ToAgent,
    ToClient,
)
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.roles import MAY, SOCKETS, Role, Who
from tests.unit.broker.scene import CLIENT, Scene, hits, plan, ready, register, report, submit
from tests.wire.examples import EXAMPLES

OWNER, RUNNER, AGENT, VIEWER = Role.OWNER, Role.RUNNER, Role.AGENT, Role.VIEWER

#: Written out once more, and not computed: who may say what is for people to decide.
RIGHTS: dict[type[m.Message], set[Role]] = {
    m.Register: {OWNER, AGENT},
    m.Ready: {OWNER, AGENT},
    m.CannotRun: {OWNER, AGENT},
    m.Report: {OWNER, AGENT},
    m.Extended: {OWNER, AGENT},
    m.Finished: {OWNER, AGENT},
    m.LastWords: {OWNER, AGENT},
    m.Bye: {OWNER, AGENT},
    m.Heartbeat: {OWNER, AGENT},
    m.Ping: {OWNER, RUNNER, AGENT, VIEWER},
    m.GetRun: {OWNER, RUNNER, VIEWER},
    m.Submit: {OWNER, RUNNER},
    m.StopRun: {OWNER, RUNNER},
    m.Purge: {OWNER, RUNNER},
    m.ListRuns: {OWNER, RUNNER, VIEWER},
    m.ListAgents: {OWNER, RUNNER, VIEWER},
}
ALL = [(kind, role) for kind in RIGHTS for role in Role]


def test_no_message_and_no_role_is_forgotten() -> None:
    assert set(RIGHTS) == {*m.FROM_AGENT, *m.FROM_CLIENT}
    assert {kind: set(roles) for kind, roles in MAY.items()} == RIGHTS
    assert set(SOCKETS) == {"frontend", "backend", "publisher"}


def test_a_message_that_is_in_no_table_is_nobodys() -> None:
    scene = Scene()
    assert scene.feed(FromAgent(b"?", m.Welcome(1.0, 10.0), who=Who("eve", OWNER)))
    assert scene.denied == [Deny(Who("eve", OWNER), "Welcome")]


@pytest.mark.parametrize(
    ("kind", "role"), ALL, ids=[f"{kind.__name__}-{role.value}" for kind, role in ALL]
)
def test_each_kind_in_the_mouth_of_each_role(kind: type[m.Message], role: Role) -> None:
    scene, who, said = Scene(), Who("eve", role), EXAMPLES[kind]
    before = (dict(scene.core.agents), dict(scene.core.runs))
    if kind in m.FROM_AGENT:
        actions = scene.feed(FromAgent(b"eve", said, who=who))
        refused = [a for a in actions if isinstance(a, ToAgent) and type(a.message) is m.Rejected]
    else:
        actions = scene.feed(FromClient(CLIENT, said, "r1", who))
        refused = [
            action
            for action in actions
            if isinstance(action, ToClient)
            and isinstance(action.message, m.Refused)
            and "may not" in action.message.message
        ]
    is_denied = role not in RIGHTS[kind]
    assert bool(refused) is is_denied
    assert scene.denied == ([Deny(who, kind.__name__)] if is_denied else [])
    if is_denied:
        assert actions == refused
        assert before == (scene.core.agents, scene.core.runs)
        text = refused[0].message
        assert f"The key eve is a{'n' * (role is AGENT)} {role.value}'s" in (
            text.message if isinstance(text, m.Refused) else text.reason
        )


def test_a_refusal_names_the_role_that_it_takes() -> None:
    scene = Scene()
    (action,) = scene.feed(FromClient(CLIENT, submit(plan()), "r1", Who("vic", VIEWER)))
    assert action.message == m.Refused(
        1,
        5,
        "The key vic is a viewer's, which may not submit runs.",
        "That takes a token made with: loads-keys add --role runner NAME",
    )


def test_a_run_carries_the_name_that_it_was_submitted_under() -> None:
    scene = Scene()
    scene.registers("a")
    scene.feed(FromClient(CLIENT, submit(plan()), "r1", Who("anne", RUNNER)))
    assert scene.core.runs["r1"].submitted_by == "anne"
    (reply,) = scene.feed(FromClient(CLIENT, m.GetRun(2, "r1"), "", Who("vic", VIEWER)))[-1:]
    assert reply.message.view.submitted_by == "anne"


def test_what_was_done_is_written_down_and_so_is_what_was_refused() -> None:
    scene, anne, vic = Scene(), Who("anne", RUNNER), Who("vic", VIEWER)
    wanted = submit(plan(config={"user_id": "anne@example"}))
    scene.feed(FromClient(CLIENT, wanted, "r0", anne))
    scene.registers("a")
    scene.feed(FromClient(CLIENT, wanted, "r1", anne))
    scene.feed(FromClient(CLIENT, m.StopRun(2, "r1", 0.0), "", vic))
    scene.feed(FromClient(CLIENT, m.StopRun(3, "r1", 0.0), "", anne))
    scene.feed(FromClient(CLIENT, m.GetRun(4, "r1"), "", vic))
    scene.prepares("b", run_id="r2")
    del scene.audits[-1]  # of the scene's own client
    scene.feed(FromClient(CLIENT, m.Purge(5), "", anne))
    assert scene.audits[0].outcome.startswith("refused: ")
    assert scene.audits[1:] == [
        Audit("submit", anne, "r1", "anne@example", "shop.test_cart"),
        Audit("stop", vic, outcome="refused: The key vic is a viewer's, which may not stop runs."),
        Audit("stop", anne, "r1"),
        Audit("purge", anne, "r2"),
    ]
    assert {audit.what for audit in scene.audits} == set(AUDITED.values())


@pytest.mark.parametrize(
    ("kind", "role"), ALL, ids=[f"{kind.__name__}-{role.value}" for kind, role in ALL]
)
def test_who_is_not_heard_is_told_what_they_would_be_after_a_hearing(
    kind: type[m.Message], role: Role
) -> None:
    """The message that was not read is refused with the same words, and written down likewise."""
    read, unread, who, said = Scene(), Scene(), Who("eve", role), EXAMPLES[kind]
    if role in RIGHTS[kind]:
        return
    if kind in m.FROM_AGENT:
        expected = read.feed(FromAgent(CLIENT, said, who=who))
        found = unread.feed(NotEntitled(CLIENT, who, kind))
    else:
        assert isinstance(said, m.Request)
        expected = read.feed(FromClient(CLIENT, said, "r1", who))
        found = unread.feed(NotEntitled(CLIENT, who, kind, said.request))
    assert found == expected
    assert (unread.denied, unread.audits) == (read.denied, read.audits)
    assert len(found) == 1


def test_what_a_key_is_refused_is_written_down_once_a_minute() -> None:
    scene, vic, eve = Scene(), Who("vic", VIEWER), Who("eve", VIEWER)
    for number in range(4_000):
        scene.feed(NotEntitled(CLIENT, vic, m.Submit, number))
        scene.feed(NotEntitled(CLIENT, vic, m.StopRun, number))
    scene.feed(NotEntitled(CLIENT, eve, m.Submit, 1))
    assert [(audit.who.name, audit.what) for audit in scene.audits] == [
        ("vic", "submit"),
        ("vic", "stop"),
        ("eve", "submit"),
    ]
    assert len(scene.denied) == 8_001, "and each is counted"
    scene.passes(59)
    assert len(scene.audits) == 3
    scene.passes(2)
    more = scene.audits[3:]
    assert [(audit.who.name, audit.what) for audit in more] == [("vic", "submit"), ("vic", "stop")]
    assert more[0].outcome == (
        "refused 3999 times more: The key vic is a viewer's, which may not submit runs."
    )
    scene.passes(130)
    assert len(scene.audits) == 5, "there were no more"
    scene.feed(NotEntitled(CLIENT, vic, m.Submit, 1))
    assert scene.audits[5].outcome.startswith("refused: The key vic")


def test_refusals_of_who_may_ask_are_written_down_once_a_minute_as_well() -> None:
    scene, anne = Scene(), Who("anne", RUNNER)
    for number in range(50):
        scene.feed(FromClient(CLIENT, submit(plan()), f"r{number}", anne))
    assert len(scene.audits) == 1
    scene.registers("a")
    scene.feed(FromClient(CLIENT, submit(plan()), "r50", anne))
    assert scene.audits[1] == Audit("submit", anne, "r50", "", "shop.test_cart")
    scene.passes(61, "a")
    assert scene.audits[2].outcome.startswith("refused 49 times more: ")


def test_the_record_of_what_was_done_is_short() -> None:
    scene, anne = Scene(), Who("anne", RUNNER)
    wanted = RunPlan("t" * 20_000, agents=1, config={"user_id": "u" * 20_000})
    wish = m.Wish("o" * 200)
    scene.feed(FromClient(CLIENT, m.Submit(1, wanted, "d", b"", None), "r1", anne))
    refused = m.Submit(1, wanted, "d", b"", None, observers=(wish,))
    scene.feed(FromClient(CLIENT, refused, "r2", anne))
    for audit in scene.audits:
        assert len(audit.target) == len(audit.user_id) == MAX_AUDITED
        assert audit.target.endswith("t ...")
        assert len(audit.outcome) <= MAX_AUDITED + len("refused: ")
    assert len(scene.audits) == 2


def test_what_came_of_stopping_a_run_that_has_to_be_looked_up_is_written_down() -> None:
    scene, anne = Scene(kept_runs=0), Who("anne", RUNNER)
    scene.feed(FromClient(CLIENT, m.StopRun(1, "nonsense", 0.0), "", anne))
    (audit,) = scene.audits
    assert audit == Audit(
        "stop", anne, "nonsense", outcome="refused: The broker knows no run nonsense."
    )
    scene.runs("a")
    scene.ends("a")
    scene.passes(70, "a")
    assert "r1" not in scene.core.runs
    scene.audits.clear()
    scene.feed(FromClient(CLIENT, m.StopRun(2, "r1", 0.0), "", anne))
    assert scene.audits == [Audit("stop", anne, "r1", outcome="had ended")]
    scene.feed(FromClient(CLIENT, m.GetRun(3, "r1"), "", anne))
    assert len(scene.audits) == 1


def test_agents_whose_key_is_withdrawn_are_sent_away_and_others_are_not() -> None:
    scene, reason = Scene(), "The key box was revoked."
    for name, key in (("a", "box"), ("b", "box"), ("c", "crate")):
        scene.peers[name] = name.encode()
        scene.feed(FromAgent(name.encode(), register(name), who=Who(key, AGENT)))
    run = scene.prepares("a", "b", "c")
    actions = scene.feed(KeyGone("box", reason, "A hint."))
    rejected = m.Rejected(reason, "A hint.")
    assert [a for a in actions if isinstance(a, ToAgent) and a.message == rejected] == [
        ToAgent(b"a", rejected),
        ToAgent(b"b", rejected),
    ]
    assert set(scene.core.agents) == {"c"}
    assert run.parts["a"].is_over
    assert scene.feed(KeyGone("box", reason)) == []


@pytest.mark.parametrize("policy", ["continue", "abort", "redistribute"])
def test_who_comes_back_without_a_good_key_is_not_awaited(policy: str) -> None:
    """After a restart of the broker, or of an agent that was silent; others go on."""
    scene = _two_keys(policy)
    scene.restarts()
    scene.feed(FromAgent(b"b", register("b", "r1"), who=Who("crate", AGENT)))
    run = scene.core.runs["r1"]
    assert set(run.awaited) == {"a"}
    scene.feed(KeyGone("box", "The key box was revoked."))
    assert not run.awaited
    assert run.parts["a"].state == "lost"
    assert run.state == ("stopping" if policy == "abort" else "running")
    assert not run.parts["b"].is_over
    assert "agent a cannot come back, as its key is good no longer" in str(run.view(hits(0)))


def test_who_was_silent_and_has_no_good_key_is_not_awaited() -> None:
    scene = _two_keys("continue")
    for name in ("a", "b"):
        peer, key = name.encode(), Who({"a": "box", "b": "crate"}[name], AGENT)
        scene.core.agents[name].orphan_timeout = 600.0
        if name == "b":
            for worker in ("b/0", "b/1"):
                scene.feed(FromAgent(peer, report(worker, 1, 1, ended="finished"), who=key))
            scene.feed(FromAgent(peer, m.Finished("r1"), who=key))
    scene.passes(60)
    run = scene.core.runs["r1"]
    assert (run.state, run.parts["a"].state) == ("running", "lost"), "it may come back"
    scene.feed(KeyGone("crate", "The key crate was revoked."))
    assert run.state == "running"
    scene.feed(KeyGone("box", "The key box was revoked."))
    assert (run.state, run.status) == ("ended", "incomplete")


def _two_keys(policy: str) -> Scene:
    """A run of two agents with a key each."""
    scene = Scene()
    for name, key in (("a", "box"), ("b", "crate")):
        scene.peers[name] = name.encode()
        scene.feed(FromAgent(name.encode(), register(name), who=Who(key, AGENT)))
    scene.asks(submit(plan(2, on_agent_loss=policy)))
    for name, key in (("a", "box"), ("b", "crate")):
        scene.feed(FromAgent(name.encode(), ready(name), who=Who(key, AGENT)))
    assert scene.core.runs["r1"].state == "running"
    return scene


def test_an_agent_cannot_pass_for_one_with_another_key() -> None:
    """Neither by its name nor from its address: peers choose both."""
    scene, box, crate = Scene(), Who("box", AGENT), Who("crate", AGENT)
    scene.feed(FromAgent(b"a", register("a"), who=box))
    mine = scene.core.agents["a"]
    (told,) = scene.feed(FromAgent(b"x", register("a", attempt=2), who=crate))
    assert told == ToAgent(b"x", m.Rejected("Another key's agent is called a."))
    assert scene.feed(FromAgent(b"a", m.Bye(), who=crate)) == []
    assert scene.feed(FromAgent(b"a", m.Heartbeat(), who=crate)) == [ToAgent(b"a", m.WhoAreYou())]
    assert scene.core.agents == {"a": mine}
    scene.feed(FromAgent(b"a", m.Bye(), who=box))
    assert scene.core.agents == {}


def test_a_part_stays_that_of_the_key_that_it_was_given_to() -> None:
    """Also after a restart, when nobody has registered yet; other names are free."""
    scene, box, crate = Scene(), Who("box", AGENT), Who("crate", AGENT)
    scene.feed(FromAgent(b"a", register("a"), who=box))
    scene.feed(FromClient(CLIENT, submit(plan()), "r1"))
    scene.restarts()
    for run_id in ("", "r1"):
        (told,) = scene.feed(FromAgent(b"x", register("a", run_id, attempt=2), who=crate))
        assert told == ToAgent(b"x", m.Rejected("Another key's agent is called a."))
    assert not scene.core.agents
    assert list(scene.core.runs["r1"].awaited) == ["a"]
    scene.feed(FromAgent(b"y", register("b"), who=crate))
    scene.feed(FromAgent(b"a", register("a", "r1", attempt=2), who=box))
    assert set(scene.core.agents) == {"a", "b"}
    assert not scene.core.runs["r1"].awaited


def test_a_broker_that_starts_anew_knows_who_submitted_a_run() -> None:
    scene = Scene()
    scene.registers("a")
    scene.feed(FromClient(CLIENT, submit(plan()), "r1", Who("anne", RUNNER)))
    scene.restarts()
    assert scene.core.runs["r1"].submitted_by == "anne"
