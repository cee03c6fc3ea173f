"""Names of hosts: looked up once in a process, and with the time that it took."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from loads.clients import names
from loads.metrics.series import CONNECTION, SeriesKey, Verdict
from loads.recorder.current import current, install
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader
from loads.recorder.writer import Recorder

HOST = "shop.example"


class NameServer:
    """What stands in for the system's look-up."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.down = False
        self.raises: BaseException | None = None  # once
        self.is_asked, self.answer_now = threading.Event(), threading.Event()
        self.answer_now.set()

    def __call__(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        self.asked.append((host, port, family, type, proto, flags))
        number = len(self.asked)
        self.is_asked.set()
        self.answer_now.wait()
        raises, self.raises = self.raises, None
        if raises is not None:
            raise raises
        if self.down:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"10.0.0.{number}", port))]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    monkeypatch.setattr(names, "_lookup", names._lookup)  # both are put back afterwards
    monkeypatch.setattr(names, "_known", {})
    monkeypatch.setattr(names.Lookups, "once", True)
    monkeypatch.setattr(names.Lookups, "seconds", 0.0)
    return server


@pytest.fixture
def recorded() -> Iterator[RecorderReader]:
    memory, before = Memory.create(), current()
    reader = RecorderReader(memory)
    install(Recorder(memory))
    yield reader
    install(before)
    reader.close()


def address(*args: Any, **kwargs: Any) -> str:
    ((*_, (found, _)),) = socket.getaddrinfo(*args, **kwargs)
    return str(found)


def test_a_name_is_looked_up_once(server: NameServer) -> None:
    """However it is asked for: it is the same question."""
    names.measure(once=True)
    assert {address(HOST, 80) for _ in range(5)} == {"10.0.0.1"}
    assert address(host=HOST, port=80, family=0) == "10.0.0.1"
    assert server.asked == [(HOST, 80, 0, 0, 0, 0)]


def test_another_question_is_another_look_up(server: NameServer) -> None:
    names.measure(once=True)
    questions = [(HOST, 80), (HOST, 443), ("other.example", 80), (HOST, 80, socket.AF_INET)]
    assert len({address(*question) for question in questions * 2}) == 4
    assert len(server.asked) == 4


def test_a_name_may_be_looked_up_each_time(server: NameServer) -> None:
    """For targets that spread their load by name."""
    names.measure(once=False)
    assert [address(HOST, 80) for _ in range(3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_a_failure_is_not_remembered(server: NameServer, recorded: RecorderReader) -> None:
    """It may pass; and it is recorded as one."""
    names.measure(once=True)
    server.down = True
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            address(HOST, 80)
    server.down = False
    assert address(HOST, 80) == address(HOST, 80) == "10.0.0.3"
    (series,) = recorded.read().series.items()
    assert series[0] == SeriesKey(CONNECTION, HOST, "dns")
    assert series[1].outcomes == {Verdict.ERROR: 2, Verdict.SUCCESS: 1}


def test_what_is_remembered_cannot_be_changed_by_who_asked(server: NameServer) -> None:
    names.measure(once=True)
    socket.getaddrinfo(HOST, 80).clear()
    assert address(HOST, 80) == "10.0.0.1"


def test_the_time_of_look_ups_adds_up(
    server: NameServer, recorded: RecorderReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What opens a connection can tell it from its own."""
    now = iter([1.0, 1.25, 5.0, 5.5])
    monkeypatch.setattr("loads.clients.names.time.perf_counter", lambda: next(now))
    names.measure(once=False)
    address(HOST, 80)
    address(HOST, 80)
    assert names.Lookups.seconds == 0.75
    ((_, series),) = recorded.read().series.items()
    assert series.latency.total == 750_000


def test_measuring_twice_measures_once(server: NameServer, recorded: RecorderReader) -> None:
    names.measure(once=False)
    names.measure(once=False)
    address(HOST, 80)
    ((_, series),) = recorded.read().series.items()
    assert series.count == 1


def test_a_test_that_patches_again_changes_nothing() -> None:
    """Packages of Loads 1 began with it; by then, a worker has long patched all."""
    code = """if True:
        from gevent import monkey
        monkey.patch_all()
        import socket
        from loads.clients import names
        names.measure(True)
        before = socket.getaddrinfo
        monkey.patch_all()
        assert socket.getaddrinfo is before
    """
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("down", [False, True], ids=["found", "not found"])
def test_those_who_ask_at_once_share_one_look_up(
    server: NameServer, recorded: RecorderReader, monkeypatch: pytest.MonkeyPatch, down: bool
) -> None:
    """A thousand users that start together are one question to the name server."""
    names.measure(once=True)
    server.down = down
    server.answer_now.clear()
    waiting, said = threading.Semaphore(0), []
    wait_for = names._wait_for

    def announced(lookup: names._Lookup) -> Any:
        waiting.release()
        return wait_for(lookup)

    def ask() -> None:
        try:
            said.append(address(HOST, 80))
        except socket.gaierror as error:
            said.append(str(error.errno))

    monkeypatch.setattr(names, "_wait_for", announced)
    asking = [threading.Thread(target=ask) for _ in range(10)]
    for thread in asking:
        thread.start()
    for _ in range(9):
        assert waiting.acquire(timeout=60), "they all ask by themselves"
    server.answer_now.set()
    for thread in asking:
        thread.join()
    assert said == ["-2" if down else "10.0.0.1"] * 10
    assert len(server.asked) == 1
    ((_, series),) = recorded.read().series.items()
    assert series.count == 1


def test_a_look_up_that_was_cut_is_made_again_by_those_who_waited(server: NameServer) -> None:
    """A user that is cut takes nobody's answer with it."""
    names.measure(once=True)
    server.answer_now.clear()
    cut, said = threading.Event(), []

    def be_cut() -> None:
        server.raises = SystemExit()
        with pytest.raises(SystemExit):
            address(HOST, 80)
        cut.set()

    first = threading.Thread(target=be_cut)
    first.start()
    server.is_asked.wait()
    second = threading.Thread(target=lambda: said.append(address(HOST, 80)))
    second.start()
    server.answer_now.set()
    first.join()
    second.join()
    assert cut.is_set()
    assert said == ["10.0.0.2"]
    assert len(server.asked) == 2
