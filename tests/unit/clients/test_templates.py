"""Templates: what Requests makes of a URL, told without asking it, and the models of others."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from loads.clients.template import EMPTY, Body
from loads.clients.templates import Templates, prepared_url
from tests.unit.strategies import quick

hosts = st.sampled_from(["a", "a.example", "127.0.0.1:80", "A", "u:p@a", "[::1]:8", "a:080", "-a"])
paths = st.text("ab1/._~-%:;@\u00e9 ", max_size=10)
queries = st.one_of(st.just(""), st.text("ab1/._~-%=&?+\u00e9 #", max_size=10).map("?".__add__))
urls = st.builds("http://{}/{}{}".format, hosts, paths, queries)
values = st.one_of(
    st.text("ab1._~-%=& \u00e9", max_size=4),
    st.integers(-9, 99),
    st.sampled_from([None, True, 1.0, b"x", ["a", 1], ()]),
)
params = st.none() | st.dictionaries(st.text("ab_ ", max_size=3), values, max_size=3)


@quick
@given(urls, params)
def test_a_url_is_prepared_as_requests_does_it(url: str, params: dict[str, Any] | None) -> None:
    told = prepared_url(url, params)
    try:
        prepared = requests.Request("GET", url, params=params).prepare().url
    except requests.RequestException:
        assert told is None
        return
    if told is not None:
        assert "".join(told) == prepared
        assert told[1].startswith("/")
    else:
        assert "#" in str(prepared) or "?" in str(prepared).partition("/a")[0]


def wire(templates: Templates, url: str, headers: dict[str, str] | None, body: Body) -> bytes:
    with requests.Session() as session:
        template = templates.find(session, "POST", url, None, headers, body, None)
        assert template is not None
        prepared = template.prepare(body, "a=b")
        assert prepared.url == template.url
        seen = [f"{name}: {value}".encode() for name, value in prepared.headers.items()]
        sent = template.wire(body, "a=b")
        assert [line for line in sent.split(b"\r\n") if line in seen] == seen
        return sent


@pytest.mark.parametrize("body", [EMPTY, Body(b"some", None), Body(None, {"a": 1})])
@pytest.mark.parametrize("headers", [None, {"X-Id": "17"}, {"Accept": "x/y", "X-Id": "1"}])
def test_what_varies_is_what_would_have_been_made(
    body: Body, headers: dict[str, str] | None
) -> None:
    varying = Templates()
    others = headers and dict.fromkeys(headers, "other")
    wire(varying, "http://a.example/model", others, body)
    for url in ("http://a.example/users/1", "http://a.example/?q=%41&x=%zz", "http://a.example"):
        assert wire(varying, url, headers, body) == wire(Templates(), url, headers, body)


def test_what_is_equal_but_sent_otherwise_has_a_template_of_its_own() -> None:
    templates = Templates()
    with requests.Session() as session:
        targets = [
            found.head.split(b" ")[1]
            for value in (1, True, 1.0, "1", [1], [True])
            if (
                found := templates.find(
                    session, "GET", "http://a/", {"x": value}, None, EMPTY, None
                )
            )
        ]
    assert targets == [b"/?x=1", b"/?x=True", b"/?x=1.0", b"/?x=1", b"/?x=1", b"/?x=True"]
