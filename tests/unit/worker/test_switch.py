"""When a worker takes itself for left alone."""

from __future__ import annotations

from loads.worker.switch import END_TIME, INTERVAL, Switch


def after(switch: Switch, seconds: int, *, heard: bool = False) -> list[str]:
    return [switch.waited(1.0, heard=heard) for _ in range(seconds)]


def armed(patience: float = 3.0) -> Switch:
    switch = Switch(patience)
    switch.arm()
    return switch


def test_a_load_that_nobody_watches_over_is_stopped_once_and_then_ended() -> None:
    switch = armed()
    assert after(switch, 3) == ["", "", "stop"]
    assert switch.silence == 3.0
    assert after(switch, int(END_TIME)) == ["", "", "", "", "end"]


def test_any_word_starts_the_time_anew() -> None:
    switch = armed()
    for _ in range(5):
        assert after(switch, 2) == ["", ""]
        assert switch.waited(1.0, heard=True) == ""
    assert after(switch, 3) == ["", "", "stop"]


def test_who_was_stopped_itself_was_not_left_alone() -> None:
    """A wait that took long is one in which nobody listened."""
    switch = armed(10.0)
    assert switch.waited(3600.0, heard=False) == ""
    assert switch.silence == INTERVAL
    assert switch.waited(3600.0, heard=True) == ""
    assert switch.silence == 0.0


def test_without_a_load_there_is_nothing_to_stop() -> None:
    """A plan that is being prepared may wait for its agent."""
    switch = Switch(3.0)
    assert set(after(switch, 100)) == {""}


def test_words_that_come_again_do_not_keep_a_blocked_worker() -> None:
    switch = armed()
    assert after(switch, 3)[-1] == "stop"
    assert after(switch, int(END_TIME), heard=True)[-1] == "end"
