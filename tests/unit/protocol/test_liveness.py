"""When a heartbeat is due, and when silence means death."""

from __future__ import annotations

import pytest

from loads.protocol.liveness import Liveness

START = 1000.0


@pytest.mark.parametrize(
    ("sent", "now", "due"),
    [
        pytest.param(START, START, False, id="at the start"),
        pytest.param(START, START + 0.9, False, id="before the interval is over"),
        pytest.param(START, START + 1.0, True, id="when it is over"),
        pytest.param(START, START + 60.0, True, id="long after"),
        pytest.param(START + 0.5, START + 1.0, False, id="something was said since"),
        pytest.param(START + 0.5, START + 1.5, True, id="an interval after that"),
    ],
)
def test_a_heartbeat_is_due(sent, now, due):
    watch = Liveness.since(START, interval=1.0, timeout=10.0)
    watch.sent = sent
    assert watch.is_due(now) is due


@pytest.mark.parametrize(
    ("heard", "now", "dead"),
    [
        pytest.param(START, START, False, id="at the start the peer is alive"),
        pytest.param(START, START + 10.0, False, id="at the very end of the timeout"),
        pytest.param(START, START + 10.5, True, id="after it"),
        pytest.param(START + 9.0, START + 18.0, False, id="any message is a sign of life"),
        pytest.param(START + 9.0, START + 19.5, True, id="silent again for too long"),
    ],
)
def test_silence_means_death(heard, now, dead):
    watch = Liveness.since(START, interval=1.0, timeout=10.0)
    watch.heard = heard
    assert watch.is_dead(now) is dead
    assert watch.silence(now) == now - heard


def test_what_we_say_is_no_sign_of_the_peers_life():
    watch = Liveness.since(START, interval=1.0, timeout=10.0)
    watch.sent = START + 11.0
    assert watch.is_dead(START + 11.0)


def test_what_we_hear_is_no_heartbeat_of_ours():
    watch = Liveness.since(START, interval=1.0, timeout=10.0)
    watch.heard = START + 1.0
    assert watch.is_due(START + 1.0)


def test_a_silent_side_is_due_before_its_peer_takes_it_for_dead():
    """With the rhythm that a welcome may carry, one lost heartbeat is no death."""
    ours = Liveness.since(START, interval=1.0, timeout=2.5)
    peers = Liveness.since(START, interval=1.0, timeout=2.5)
    assert ours.is_due(START + 1.0)  # lost on the way
    ours.sent = START + 1.0
    assert ours.is_due(START + 2.0)
    assert not peers.is_dead(START + 2.0)
