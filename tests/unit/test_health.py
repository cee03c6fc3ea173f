"""The test that checks agents is a functional test like any other."""

from __future__ import annotations

import threading

import pytest
import requests

from loads import health
from loads.worker.loader import load


def test_it_passes_where_all_is_well_and_leaves_nothing():
    before = threading.active_count()
    with requests.Session() as session:
        health.test_agent(session)
    assert threading.active_count() == before


def test_it_fails_where_answers_are_not_what_was_sent():
    before = threading.active_count()
    with requests.Session() as session:
        session.hooks["response"] = lambda answer, **_: setattr(answer, "_content", b"bye")
        with pytest.raises(AssertionError):
            health.test_agent(session)
    assert threading.active_count() == before


def test_an_agent_finds_it(tmp_path):
    (test,) = load(health.TARGET, str(tmp_path))
    assert test.arguments == ("session",)
