"""Observers tell of the end of a run, by real protocols, and harm nobody when they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.cluster import SITE, Cluster, Result, run
from tests.e2e.listeners import Channel, Mailbox, Sink, chatting, posting
from tests.e2e.stage import Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

PASSWORD = "open-sesame"

#: An observer that is not ours: a package with an entry point, as pip would have installed it.
STRANGER = """
    import pathlib
    import time

    from loads.observers.base import ObserverOption

    class Diary:
        options = (ObserverOption("file", "", "where to write"),
                   ObserverOption("mood", "good", "how it goes"))

        def __init__(self, file, mood):
            self.file, self.mood = file, mood

        def tell(self, view):
            if self.mood == "bad":
                raise RuntimeError("I would rather not")
            if self.mood == "absent":
                import os
                os._exit(7)
            while self.mood == "slow":
                time.sleep(1)
            pathlib.Path(self.file).write_text(f"{view.status} {view.tally.hits}")
"""


def install(stage: Stage, monkeypatch: pytest.MonkeyPatch, group: str, name: str, code: str):
    """A package of somebody else's beside Loads."""
    stage.write(f"lib/{name}_plugin.py", code)
    folder = f"lib/{name}_plugin-1.0.dist-info"
    stage.write(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    entry = f"[loads.{group}]\n{name} = {name}_plugin:{name.title()}\n"
    stage.write(f"{folder}/entry_points.txt", entry)
    monkeypatch.setenv("PYTHONPATH", str(stage.project / "lib"))


def finished(stage: Stage, target: Target, cluster: Cluster | None, *options: object) -> Result:
    """A run of 20 hits."""
    stage.write("test_site.py", SITE)
    line = ("test_site", "-u", 4, "--hits", 5, "--server-url", target.url, *options)
    result = cluster.run(*line) if cluster else run(stage, *line)
    assert result.code == 0, result.err
    assert result.hits == target.hits
    return result


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_everybody_is_told(stage: Stage, target: Target, agents: int) -> None:
    """By mail, on IRC under another name, in Slack, and by a webhook; the run is long forgotten."""
    cluster = Cluster(stage) if agents else None
    with (
        Mailbox("me", PASSWORD) as mailbox,
        chatting(Channel(taken=("loads",))) as channel,
        posting(Sink()) as sink,
    ):
        secrets = stage.root / "secrets.ini"
        secrets.write_text(
            f"[loads]\nobserver-email-password = {PASSWORD}\n"
            f"observer_slack_url = {sink.url}/slack/T0/B0\n"
        )
        result = finished(
            stage, target, cluster, "--config", secrets,
            *("--observer", "email", "--observer-email-recipient", "a@example.com, b@example.com"),
            *("--observer-email-host", "127.0.0.1", "--observer-email-port", mailbox.port),
            *("--observer-email-user", "me", "--observer-email-tls", "no"),
            *("--observer", "irc", "--observer-irc-server", "127.0.0.1"),
            *("--observer-irc-port", channel.port, "--observer-irc-channel", "#loads"),
            *("--observer", "slack", "--observer", "webhook"),
            *("--observer-webhook-url", f"{sink.url}/hook"),
        )  # fmt: skip
        until(lambda: mailbox.mails and channel.left and len(sink.posted) == 2, "all to be told")
    run_id = result.summary["run_id"]
    words = f"Run {run_id} of test_site: passed. 20 tests succeeded, 0 failed, 0 errored; 20 hits"
    (mail,) = mailbox.mails
    assert mail["Subject"] == "Loads Results"
    assert mailbox.recipients == [["a@example.com", "b@example.com"]]
    assert words in mail.get_content()
    ((name, where, said),) = channel.said
    assert (name, where) == ("loads_", "#loads")
    assert words in said
    posted = dict(sink.posted)
    assert words in posted["/slack/T0/B0"]["text"]
    assert posted["/hook"]["hits"]["total"] == 20
    assert posted["/hook"]["run_id"] == run_id
    logs = result.err + (cluster.broker.err if cluster else "")
    assert PASSWORD not in result.summary_at.read_text() + result.out + logs
    assert "/T0/B0" not in result.summary_at.read_text() + result.out + logs


def test_observers_that_fail_are_warned_of_and_cost_nobody(
    stage: Stage, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong password, banned, refused, an exception, a crash: the run beside it is told."""
    install(stage, monkeypatch, "observers", "diary", STRANGER)
    cluster = Cluster(stage)
    with (
        Mailbox("me", PASSWORD) as mailbox,
        chatting(Channel(locked=True)) as channel,
        posting(Sink(status=500)) as sink,
    ):
        result = finished(
            stage, target, cluster,
            *("--observer", "email", "--observer-email-recipient", "a@example.com"),
            *("--observer-email-host", "127.0.0.1", "--observer-email-port", mailbox.port),
            *("--observer-email-user", "me", "--observer-email-password", "wrong"),
            *("--observer-email-tls", "no"),
            *("--observer", "irc", "--observer-irc-server", "127.0.0.1"),
            *("--observer-irc-port", channel.port, "--observer-irc-channel", "loads"),
            *("--observer", "webhook", "--observer-webhook-url", f"{sink.url}/x"),
            *("--observer", "diary", "--observer-diary-mood", "bad"),
        )  # fmt: skip
        cluster.broker.says("could not be told of the end", times=4)
    told = "\n".join(line for line in cluster.broker.err.splitlines() if "WARNING" in line)
    for words in (
        "SMTPAuthenticationError",
        "Cannot join channel",
        "the server answered 500",
        "RuntimeError: I would rather not",
    ):
        assert words in told
    assert "wrong" not in told
    warnings = cluster.view(result.summary["run_id"]).warnings
    assert len(warnings) == 4 and all("could not be told" in text for text in warnings)
    target.counts.clear()
    result = finished(
        stage, target, cluster, "--observer", "diary", "--observer-diary-mood", "absent"
    )
    cluster.broker.says("its process ended with 7")
    target.counts.clear()
    diary = stage.root / "diary"
    finished(stage, target, cluster, "--observer=diary", f"--observer-diary-file={diary}")
    until(diary.exists, "the diary")
    cluster.broker.says("observer diary was told")
    assert diary.read_text() == "finished 20"


def test_an_observer_that_hangs_ends_with_the_broker(
    stage: Stage, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(stage, monkeypatch, "observers", "diary", STRANGER)
    cluster = Cluster(stage)
    finished(stage, target, cluster, "--observer", "diary", "--observer-diary-mood", "slow")
    until(lambda: any("loads.observers" in c for c in stage.survivors().values()), "its process")
    assert cluster.broker.terminate() == 0
    assert "observer diary was not told of the end" in cluster.broker.err
    until(lambda: not any("loads.observers" in c for c in stage.survivors().values()), "its end")


def test_mistakes_show_before_there_is_a_run(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    stage.write("loads.ini", "[loads]\nfqn = test_site\nobserver = irc\n")
    for options, words in (
        (("test_site", "--observer", "pager"), "There is no observer 'pager'."),
        (("test_site", "--observer", "irc"), "The observer 'irc' needs a channel."),
        (("--config", "loads.ini"), "The observer 'irc' needs a channel."),
        (("test_site", "--observer-irc-chanel", "x"), "No such option"),
    ):
        process = stage.start("runner", "loads-runner", *options)
        assert process.wait() == 2
        assert words in process.err
    assert target.hits == 0


#: An output that is not ours.
TALLY = """
    from loads.outputs.base import OutputOption

    class Tally:
        options = (OutputOption("place", "", "where to write"), OutputOption("sign", "=", "a sign"))

        def __init__(self, place, sign):
            self.place, self.sign = place, sign

        def start(self, view): ...
        def update(self, view): ...

        def finish(self, view):
            with open(self.place, "w") as file:
                file.write(f"hits{self.sign}{view.tally.hits}")
"""


def test_an_output_of_another_package_has_its_options_everywhere(
    stage: Stage, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line, and from a file; it is not imported unless somebody names it."""
    install(stage, monkeypatch, "outputs", "tally", TALLY)
    at = stage.root / "tally"
    finished(stage, target, None, "--output", "tally", f"--output-tally-place={at}")
    assert at.read_text() == "hits=20"
    target.counts.clear()
    (stage.root / "loads.ini").write_text(
        f"[loads]\noutput = tally, console, json\noutput-tally-place = {at}\n"
        "[output-tally]\nsign = :\n"
    )
    stage.write("test_site.py", SITE)
    line = ("test_site", "--server-url", target.url, "--config", stage.root / "loads.ini")
    assert stage.start("runner", "loads-runner", *line).wait() == 0
    assert at.read_text() == "hits:1"
    stage.write("lib/tally_plugin.py", "1 / 0")
    target.counts.clear()
    finished(stage, target, None)
    process = stage.start("runner", "loads-runner", "test_site", "--output", "tally")
    assert process.wait() == 2
    assert "The output 'tally' cannot be loaded: ZeroDivisionError" in process.err


def test_the_example_keeps_a_diary(tmp_path: Path) -> None:
    from examples.observer import Diary
    from tests.unit.outputs.run_views import empty

    diary = Diary(str(tmp_path / "runs.txt"))
    for _ in range(2):
        diary.tell(empty(state="ended", status="finished"))
    lines = (tmp_path / "runs.txt").read_text().splitlines()
    assert len(lines) == 2 and lines[0].startswith("Run r1 of shop.TestShop.test_cart: passed.")
