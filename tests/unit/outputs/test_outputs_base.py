from __future__ import annotations

import io
import os

import pytest

from loads.errors import LoadsError
from loads.outputs.base import Announcer, Closeable, OutputOption, Outputs
from loads.outputs.null import NullOutput
from tests.unit.outputs.run_views import empty, ended


class Recording:
    def __init__(self, broken: tuple[str, ...] = (), error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self._broken = broken
        self._error = error or RuntimeError("no\nluck \x1b[31m")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self._broken:
            raise self._error

    def start(self, view) -> None:
        self._called("start")

    def update(self, view) -> None:
        self._called("update")

    def finish(self, view) -> None:
        self._called("finish")


class Talking(Recording):
    def message(self, text: str) -> None:
        self._called(f"message {text}")

    def close(self) -> None:
        self._called("close")


def run(outputs: Outputs) -> None:
    outputs.start(empty())
    outputs.update(empty())
    outputs.message("stopping")
    outputs.finish(ended())


def test_capabilities_are_optional():
    assert not isinstance(NullOutput(), Announcer | Closeable)
    assert isinstance(Talking(), Announcer)
    assert isinstance(Talking(), Closeable)


def test_each_output_gets_each_call_it_can_take():
    silent, talking = Recording(), Talking()
    with Outputs([("silent", silent), ("talking", talking), ("null", NullOutput())]) as outputs:
        run(outputs)
    assert silent.calls == ["start", "update", "finish"]
    assert talking.calls == ["start", "update", "message stopping", "finish", "close"]


def test_those_that_talk_to_people_come_first_and_the_order_is_kept_otherwise():
    pairs = [("a", Recording()), ("b", Talking()), ("c", Recording()), ("d", Talking())]
    assert Outputs(pairs).names == ["b", "d", "a", "c"]


@pytest.mark.parametrize("moment", ["start", "update", "message stopping", "finish"])
def test_a_failing_output_is_reported_once_closed_and_left_out(moment):
    bad, good, stderr = Talking((moment,)), Talking(), io.StringIO()
    outputs = Outputs([("bad", bad), ("good", good)], stderr)
    run(outputs)
    run(outputs)
    assert stderr.getvalue() == (
        "warning: the output bad failed and is left out: RuntimeError: no luck \\x1b[31m\n"
    )
    assert bad.calls[-2:] == [moment, "close"]
    assert bad.calls.count(moment) == 1
    assert good.calls == ["start", "update", "message stopping", "finish"] * 2
    assert outputs.names == ["good"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LoadsError("It is full.", "Make room."), "It is full. Make room."),
        (BrokenPipeError(32, "Broken pipe"), "Broken pipe"),
        (OSError(28, "No space left", "x.json"), "No space left: x.json"),
        (ValueError(), "ValueError"),
    ],
)
def test_an_error_is_one_line(error, said):
    stderr = io.StringIO()
    Outputs([("bad", Recording(("start",), error))], stderr).start(empty())
    assert stderr.getvalue() == f"warning: the output bad failed and is left out: {said}\n"


def test_a_failing_close_hides_nothing():
    stderr = io.StringIO()
    outputs = Outputs([("bad", Talking(("update", "close")))], stderr)
    outputs.update(empty())
    outputs.close()
    assert stderr.getvalue().count("\n") == 1


def test_nobody_listening_to_the_complaint_is_no_reason_to_stop():
    reading, writing = os.pipe()
    os.close(reading)
    good = Recording()
    with open(writing, "w") as stderr:
        outputs = Outputs([("bad", Recording(("start",))), ("good", good)], stderr)
        outputs.start(empty())
    assert good.calls == ["start"]


def test_an_interrupt_passes_and_the_context_closes():
    talking = Talking()
    with pytest.raises(KeyboardInterrupt), Outputs([("talking", talking)]) as outputs:
        outputs.start(empty())
        raise KeyboardInterrupt
    assert talking.calls == ["start", "close"]


def test_an_option_is_a_keyword():
    assert OutputOption("flush-every", "5").keyword == "flush_every"
