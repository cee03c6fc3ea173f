"""Cookie headers that are kept say what the jar would say."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.cookies import RequestsCookieJar, get_cookie_header

from loads.clients import cookies
from loads.clients.cookies import CookieHeaders
from tests.unit.strategies import quick

URLS = ("http://a.example/", "http://a.example/deep/x", "https://a.example/", "http://b.example/")

changes = st.tuples(
    st.sampled_from(["set", "value", "delete", "time", "ask"]),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["1", "2", '"q"']),
    st.fixed_dictionaries(
        {
            "domain": st.sampled_from(["", "a.example", "b.example"]),
            "path": st.sampled_from(["/", "/deep"]),
            "secure": st.booleans(),
            "expires": st.sampled_from([None, 10, 30]),
        }
    ),
)


@quick
@given(st.lists(changes, min_size=1, max_size=12))
def test_a_kept_header_is_the_jars_own(steps: list[tuple[str, str, str, dict[str, Any]]]) -> None:
    now = 0.0
    jar, kept = RequestsCookieJar(), CookieHeaders()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("http.cookiejar.time.time", lambda: now)
        patch.setattr(cookies, "time", lambda: now)
        for kind, name, value, options in steps:
            if kind == "set":
                jar.set(name, value, **options)
            elif kind == "value":
                for cookie in jar:
                    cookie.value = value
            elif kind == "delete":
                jar.set(name, None)
            elif kind == "time":
                now += 15
            for url in URLS:
                request = requests.Request("GET", url).prepare()
                own = jar.copy()
                own._policy = jar._policy  # type: ignore[attr-defined]
                assert kept.header(jar, url, request) == get_cookie_header(own, request)


def test_a_policy_of_the_tests_own_is_asked_each_time() -> None:
    class Fickle(DefaultCookiePolicy):
        asked = 0

        def return_ok(self, cookie: Any, request: Any) -> bool:
            self.asked += 1
            return self.asked % 2 == 0

    jar, kept = RequestsCookieJar(policy=Fickle()), CookieHeaders()
    jar.set("a", "b")
    request = requests.Request("GET", URLS[0]).prepare()
    assert [kept.header(jar, 1, request) for _ in range(4)] == [None, "a=b"] * 2


def test_many_requests_take_no_memory() -> None:
    jar, kept = RequestsCookieJar(), CookieHeaders()
    jar.set("a", "b")
    request = requests.Request("GET", URLS[0]).prepare()
    for key in range(3 * cookies.MAX_HEADERS):
        assert kept.header(jar, key, request) == "a=b"
    assert len(kept._headers) <= cookies.MAX_HEADERS
