"""Measured sessions: to a test they are Requests, to a server too; and each request is a hit.

With ``LOADS_TEST_FAST`` in the environment, on a process that gevent has patched, all of it is held
against the fast path as well: the last test here has it done.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth
from urllib3.util import Retry

from loads.clients import phases, session
from loads.clients.hits import Choices, exact_name
from loads.clients.session import Session
from loads.metrics.series import CONNECTION, HIT, outcome_name
from loads.metrics.tally import Tally
from loads.recorder.current import current, install
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader
from loads.recorder.writer import Recorder
from tests.unit.clients.raw_server import RawServer, serving
from tests.unit.strategies import quick

FAST = bool(os.environ.get("LOADS_TEST_FAST"))
_PATCHED = ("send", "request", "get", "post", "close", "__setattr__")
_plain = {name: getattr(requests.Session, name) for name in _PATCHED}


def measure() -> None:
    """As a worker does."""
    session.measure(True) if FAST else session.measure()


def unmeasure() -> None:
    """Leave Requests as it was for the other tests of this process."""
    for name, function in _plain.items():
        setattr(requests.Session, name, function)


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close all sessions that a test has made: what is not closed is a warning, and so an error."""
    made: list[requests.Session] = []
    init = requests.Session.__init__

    def note(own: requests.Session) -> None:
        init(own)
        made.append(own)

    monkeypatch.setattr(requests.Session, "__init__", note)
    yield
    for own in made:
        own.close()


@pytest.fixture
def measured() -> Iterator[None]:
    measure()
    yield
    unmeasure()


@pytest.fixture(scope="module")
def module_server() -> Iterator[RawServer]:
    with serving() as server:
        yield server


@pytest.fixture
def server(module_server: RawServer) -> RawServer:
    module_server.take()
    return module_server


class Hits:
    """What was recorded since the test began."""

    def __init__(self, reader: RecorderReader, url: str) -> None:
        self._reader = reader
        self._url = url
        self.tally = Tally()

    def read(self) -> dict[str, dict[str, int]]:
        """Outcomes by method and path."""
        self.tally.merge(self._reader.read())
        assert self.tally.counts.get("hits_started", 0) == self.tally.hits
        return {
            f"{key.method} {key.name.removeprefix(self._url)}": {
                outcome_name(outcome): number for outcome, number in series.outcomes.items()
            }
            for key, series in self.tally.of_kind(HIT).items()
        }


@pytest.fixture
def hits(measured: None, server: RawServer) -> Iterator[Hits]:
    memory, before = Memory.create(), current()
    reader = RecorderReader(memory)
    install(Recorder(memory))
    yield Hits(reader, server.url)
    install(before)
    reader.close()


# -- each request is a hit -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_a_request_is_a_hit(hits: Hits, server: RawServer, method: str) -> None:
    assert Session().request(method, f"{server.url}/any/thing").status_code == 200
    assert hits.read() == {f"{method} /any/thing": {"200": 1}}
    assert len(server.take()) == 1


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 500, 503])
def test_a_status_is_an_outcome(hits: Hits, server: RawServer, status: int) -> None:
    """A bad one raises nothing, as in Requests."""
    assert Session().get(f"{server.url}/status/{status}").status_code == status
    assert hits.read() == {"GET /status/{n}": {str(status): 1}}


def _own_class() -> requests.Session:
    class Own(requests.Session):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            return super().send(*args, **kwargs)

    return Own()


def _with_adapter() -> requests.Session:
    own = requests.Session()
    own.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1))
    return own


@pytest.mark.parametrize(
    "get",
    [
        lambda url: Session().get(url),
        lambda url: requests.Session().get(url),
        requests.get,
        lambda url: requests.request("GET", url),
        lambda url: _own_class().get(url),
        lambda url: _with_adapter().get(url),
        lambda url: Session().send(requests.Request("GET", url).prepare()),
        lambda url: Session().send(Session().prepare_request(requests.Request("GET", url))),
        lambda url: Session().get(url, stream=True).close(),
    ],
    ids=[
        *("ours", "Requests' own", "requests.get", "requests.request", "a class that sends itself"),
        *("another adapter", "a prepared request", "one prepared by a session", "a stream"),
    ],
)
def test_whoever_sends_is_measured(
    hits: Hits, server: RawServer, get: Callable[[str], object]
) -> None:
    get(f"{server.url}/any")
    assert hits.read() == {"GET /any": {"200": 1}}
    assert len(server.take()) == 1


def test_a_session_handed_to_a_library_is_measured(hits: Hits, server: RawServer) -> None:
    """Many clients of an API take one."""

    class Client:
        def __init__(self, http: requests.Session) -> None:
            self.http = http

        def users(self) -> str:
            return self.http.get(f"{server.url}/any/users").text

    assert isinstance(Session(), requests.Session)
    Client(Session()).users()
    assert hits.read() == {"GET /any/users": {"200": 1}}


@pytest.mark.parametrize(
    ("hops", "expected"),
    [
        (1, {"GET /to/{n}": {"303": 1}, "GET /": {"200": 1}}),
        (3, {"GET /to/{n}": {"301": 1, "307": 1, "303": 1}, "GET /": {"200": 1}}),
    ],
)
def test_each_hop_is_a_hit(
    hits: Hits, server: RawServer, hops: int, expected: dict[str, dict[str, int]]
) -> None:
    answer = Session().get(f"{server.url}/to/{hops}")
    assert hits.read() == expected
    assert [hop.url for hop in answer.history] == [
        f"{server.url}/to/{number}" for number in range(hops, 0, -1)
    ]
    assert len(server.take()) == hops + 1


def test_a_redirect_that_is_not_followed_is_one_hit(hits: Hits, server: RawServer) -> None:
    answer = Session().get(f"{server.url}/to/2", allow_redirects=False)
    assert hits.read() == {"GET /to/{n}": {"307": 1}}
    assert answer.next is not None
    assert answer.next.url == f"{server.url}/to/1"


def test_redirects_without_end(hits: Hits, server: RawServer) -> None:
    """Each was answered, and counts; that there are too many of them is Requests' to say."""
    own = Session()
    own.max_redirects = 4
    with pytest.raises(requests.TooManyRedirects):
        own.get(f"{server.url}/loop")
    assert hits.read() == {"GET /loop": {"302": 5}}
    assert len(server.take()) == 5


@pytest.mark.parametrize(
    ("path", "most", "error"),
    [("/to-nowhere", 30, ValueError), ("/loop", 0, requests.TooManyRedirects)],
)
def test_a_redirect_that_cannot_be_followed_was_answered(
    hits: Hits, server: RawServer, path: str, most: int, error: type[Exception]
) -> None:
    own = Session()
    own.max_redirects = most
    with pytest.raises(error):
        own.get(server.url + path)
    assert hits.read() == {f"GET {path}": {"302": 1}}


def test_an_authentication_in_two_steps_is_two_hits(hits: Hits, server: RawServer) -> None:
    """The target has counted both."""
    answer = Session().get(f"{server.url}/digest", auth=HTTPDigestAuth("ann", "secret"))
    assert answer.status_code == 200
    assert len(server.take()) == 2
    assert hits.read() == {"GET /digest": {"401": 1, "200": 1}}


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/any/7", "/any/{n}"),
        ("/any?page=7", "/any"),
        ("/any#part", "/any"),
        ("", "/"),
    ],
)
def test_a_series_is_named_after_a_pattern(
    hits: Hits, server: RawServer, path: str, name: str
) -> None:
    Session().get(server.url + path)
    assert hits.read() == {f"GET {name}": {"200": 1}}


def test_a_name_of_the_tests_own(hits: Hits, server: RawServer) -> None:
    """For that request alone and all of its hops, whatever becomes of it."""
    own = Session()
    own.get(f"{server.url}/to/1", name="enter")
    own.post(f"{server.url}/any", name="buy", data={"a": 1})
    own.get(f"{server.url}/any", params={"name": "not this"})
    with pytest.raises(requests.ConnectionError):
        own.get(f"{server.url}/close", name="leave")
    own.get(f"{server.url}/any/2")
    assert hits.read() == {
        "GET enter": {"303": 1, "200": 1},
        "POST buy": {"200": 1},
        "GET /any": {"200": 1},
        "GET leave": {"reset": 1},
        "GET /any/{n}": {"200": 1},
    }


def test_requests_own_sessions_know_no_names(measured: None, server: RawServer) -> None:
    """A plain test would not run without Loads any more."""
    with pytest.raises(TypeError, match="name"):
        requests.Session().get(f"{server.url}/any", name="x")  # type: ignore[call-arg]


def test_exact_names(hits: Hits, server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Choices, "name", staticmethod(exact_name))
    monkeypatch.setattr("loads.clients.hits._keys", {})
    Session().get(f"{server.url}/any/7", params={"page": 1})
    assert hits.read() == {"GET /any/7?page=1": {"200": 1}}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://host/a/1?b=c", "http://host/a/1?b=c"),
        ("http://ann:secret@host/a", "http://host/a"),
        ("http://ann:p%40ss@host:9000/a?mail=b@c", "http://host:9000/a?mail=b@c"),
        ("http://host", "http://host"),
        ("http://host/a@b", "http://host/a@b"),
    ],
)
def test_an_exact_name_is_the_url_without_credentials(url: str, name: str) -> None:
    assert exact_name(url) == name


@pytest.mark.parametrize("exact", [False, True])
def test_credentials_are_in_no_name(
    hits: Hits, server: RawServer, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exact:
        monkeypatch.setattr(Choices, "name", staticmethod(exact_name))
    monkeypatch.setattr("loads.clients.hits._keys", {})
    url = server.url.replace("//", "//ann:secret@")
    assert Session().get(f"{url}/basic").status_code == 200
    assert hits.read() == {"GET /basic": {"200": 1}}


# -- requests that get no answer -------------------------------------------------------------------


#: Bound, but nobody listens: connections are refused, and nobody else can be given the port.
_TAKEN = socket.socket()
_TAKEN.bind(("127.0.0.1", 0))
atexit.register(_TAKEN.close)


@pytest.mark.parametrize(
    ("path", "outcome", "error"),
    [
        ("/close", "reset", requests.ConnectionError),
        ("/reset", "reset", requests.ConnectionError),
        ("/hang", "timed out", requests.ReadTimeout),
        ("/cut", "other", requests.exceptions.ChunkedEncodingError),
        ("/garbage", "other", requests.ConnectionError),
    ],
)
def test_a_request_without_an_answer_is_a_hit_that_failed(
    hits: Hits, server: RawServer, path: str, outcome: str, error: type[Exception]
) -> None:
    """It has arrived, and the target has counted it."""
    with pytest.raises(error):
        Session().get(server.url + path, timeout=0.05 if path == "/hang" else 5)
    assert hits.read() == {f"GET {path}": {outcome: 1}}
    assert len(server.take()) == 1


@pytest.mark.parametrize(
    ("url", "outcome", "error"),
    [
        (f"http://127.0.0.1:{_TAKEN.getsockname()[1]}/", "refused", requests.ConnectionError),
        ("http://no-such-host.invalid/", "dns", requests.ConnectionError),
    ],
    ids=["nobody listens", "nobody has that name"],
)
def test_a_target_that_is_not_there(
    hits: Hits, url: str, outcome: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Session().get(url)
    (outcomes,) = hits.read().values()
    assert outcomes == {outcome: 1}


def test_no_tls_where_it_was_expected(hits: Hits, server: RawServer) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        Session().get(server.url.replace("http:", "https:") + "/garbage", timeout=5)
    (outcomes,) = hits.read().values()
    assert outcomes == {"tls": 1}


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("no-scheme/path", requests.exceptions.MissingSchema),
        ("http://", requests.exceptions.InvalidURL),
        ("http://*", requests.exceptions.InvalidURL),
    ],
)
def test_what_cannot_even_be_sent_is_no_hit(hits: Hits, url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        Session().get(url)
    assert hits.read() == {}


def test_a_request_that_was_not_prepared(hits: Hits, server: RawServer) -> None:
    """It is a mistake that Requests knows by name."""
    with pytest.raises(ValueError, match="You can only send PreparedRequests"):
        Session().send(requests.Request("GET", server.url))  # type: ignore[arg-type]
    assert hits.read() == {}


# -- hooks and authentication ----------------------------------------------------------------------


def test_hooks_are_called_with_each_answer(hits: Hits, server: RawServer) -> None:
    seen: list[int] = []

    def note(response: requests.Response, **_: object) -> None:
        seen.append(response.status_code)

    own = Session()
    own.get(f"{server.url}/to/1", hooks={"response": note})
    assert seen == [303, 200]
    own.hooks["response"].append(note)
    own.get(f"{server.url}/any")
    assert seen == [303, 200, 200]
    assert hits.read() == {"GET /to/{n}": {"303": 1}, "GET /": {"200": 1}, "GET /any": {"200": 1}}


def test_a_hook_that_raises_has_had_an_answer(hits: Hits, server: RawServer) -> None:
    """As ``raise_for_status`` for all answers does, which is a habit of many."""

    def check(response: requests.Response, **_: object) -> None:
        with response:  # else its connection stays open
            response.raise_for_status()

    with pytest.raises(requests.HTTPError):
        Session().get(f"{server.url}/status/500", hooks={"response": check})
    assert hits.read() == {"GET /status/{n}": {"500": 1}}


class Signing(AuthBase):
    """Signs what it sees of a request, as many APIs want it."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        size = len(body.encode() if isinstance(body, str) else body)
        request.headers["X-Signature"] = f"{request.method} {request.path_url} {size}"
        return request


def test_a_request_can_be_signed(hits: Hits, server: RawServer) -> None:
    Session().post(f"{server.url}/any/7", params={"a": "b c"}, json={"x": 1}, auth=Signing())
    (arrived,) = server.take()
    assert b"X-Signature: POST /any/7?a=b+c 8\r\n" in arrived
    assert hits.read() == {"POST /any/{n}": {"200": 1}}


# -- bytes and phases ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "options", "sent", "received"),
    [
        ("/any", {}, 0, 12),
        ("/any", {"data": b"12345"}, 5, 12),
        ("/any", {"data": {"a": 1}}, 3, 12),
        ("/any", {"json": {}}, 2, 12),
        ("/chunked", {}, 0, 9),
        ("/gzip", {}, 0, 32),
        ("/status/204", {}, 0, 0),
    ],
)
def test_bytes_of_bodies(
    hits: Hits, server: RawServer, path: str, options: dict[str, Any], sent: int, received: int
) -> None:
    Session().post(server.url + path, **options)
    hits.read()
    total = hits.tally.total(HIT)
    assert (total.sent, total.received) == (sent, received)


def test_what_is_streamed_is_the_tests_to_read(hits: Hits, server: RawServer) -> None:
    """Its hit ends with the headers."""
    answer = Session().get(f"{server.url}/chunked", stream=True)
    assert hits.read() == {"GET /chunked": {"200": 1}}
    assert hits.tally.total(HIT).received == 0
    assert b"".join(answer.iter_content(4)) == b"hello you"


def test_a_connection_is_used_again(hits: Hits, server: RawServer) -> None:
    before = server.connections
    own = Session()
    for _ in range(5):
        own.get(f"{server.url}/any")
    assert server.connections - before == 1
    own.close()
    own.get(f"{server.url}/any")
    assert server.connections - before == 2


@pytest.fixture
def urllib3_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib3.connection
    import urllib3.util.connection

    for thing, name in (
        (urllib3.connection.HTTPConnection, "request"),
        (urllib3.connection.HTTPConnection, "getresponse"),
        (urllib3.util.connection, "create_connection"),
        (urllib3.connection, "_ssl_wrap_socket_and_match_hostname"),
    ):
        monkeypatch.setattr(thing, name, getattr(thing, name))  # put back afterwards
    phases.measure()


def test_a_connection_ends_where_its_answer_says_so(hits: Hits, server: RawServer) -> None:
    before = server.connections
    own = Session()
    for path in ("/last", "/any", "/last", "/chunked"):
        assert own.get(server.url + path).ok
    assert server.connections - before == 3


@pytest.mark.skipif(FAST, reason="it has phases of its own")
def test_phases_are_those_of_answered_hits(
    hits: Hits, server: RawServer, urllib3_measured: None
) -> None:
    own = Session()
    for path in ("/any", "/any", "/status/500"):
        own.get(server.url + path)
    with pytest.raises(requests.ConnectionError):
        own.get(f"{server.url}/close")
    hits.read()
    assert hits.tally.total(HIT).phases.hits == 3
    connections = hits.tally.of_kind(CONNECTION)
    assert {key.method: series.count for key, series in connections.items()} == {"connect": 1}


@pytest.mark.parametrize(
    ("path", "outcome"), [("/status/503", "503"), ("/close", "reset"), ("/reset", "reset")]
)
def test_what_urllib3_sends_again_is_a_hit_each_time(
    hits: Hits, server: RawServer, urllib3_measured: None, path: str, outcome: str
) -> None:
    retry = Retry(total=2, status_forcelist=[503], raise_on_status=False)
    with Session() as own:
        own.mount("http://", HTTPAdapter(max_retries=retry))
        with contextlib.suppress(requests.ConnectionError):
            own.get(server.url + path)
    name = path.replace("503", "{n}")
    assert hits.read() == {f"GET {name}": {outcome: 3}}
    assert len(server.take()) == 3


# -- the same as Requests --------------------------------------------------------------------------

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def looks(response: requests.Response) -> dict[str, Any]:
    """All that a test can see of an answer."""
    return {
        "status": (response.status_code, response.reason, response.ok),
        "url": response.url,
        "headers": list(response.headers.items()),
        "body": (response.content, response.text, response.encoding),
        "cookies": cookies(response.cookies),
        "links": response.links,
        "redirect": (response.is_redirect, response.is_permanent_redirect),
        "next": response.next and (response.next.method, response.next.url),
        "request": (
            response.request.method,
            response.request.url,
            list(response.request.headers.items()),
            response.request.body,
        ),
        "history": [looks(hop) for hop in response.history],
    }


def cookies(jar: Any) -> list[tuple[Any, ...]]:
    return sorted(
        (c.name, c.value, c.domain, c.path, c.has_nonstandard_attr("HttpOnly")) for c in jar
    )


def exchange(server: RawServer, kind: type[requests.Session], wanted: dict[str, Any]) -> Any:
    """Send a request twice on a new session: what arrived, and what the test got to see."""
    server.take()
    with kind() as own:
        own.trust_env = False
        own.headers.update(wanted.get("session_headers", {}))
        for name, value in wanted.get("session_cookies", {}).items():
            own.cookies.set(name, value)
        own.max_redirects = 5
        seen: list[Any] = []
        for _ in range(2):
            try:
                url = server.url + wanted["path"]
                seen.append(looks(own.request(wanted["method"], url, **wanted["options"])))
            except (requests.RequestException, ValueError) as error:
                text = type(error).__name__ if FAST else _ADDRESS.sub("0x", repr(error))
                seen.append((type(error), text))
        return server.take(), seen, cookies(own.cookies)


def check_both(
    act: Callable[[type[requests.Session]], Any], *kinds: type[requests.Session]
) -> None:
    """Measured sessions of such kinds come to what plain ones do."""
    unmeasure()
    plain = act(requests.Session)
    measure()
    try:
        for kind in kinds:
            assert act(kind) == plain
    finally:
        unmeasure()


def check_is_the_same(server: RawServer, wanted: dict[str, Any]) -> None:
    unmeasure()
    plain = exchange(server, requests.Session, wanted)
    measure()
    try:
        for kind in (requests.Session, Session):
            arrived, seen, jar = exchange(server, kind, wanted)
            assert arrived == plain[0], "the server would notice"
            assert seen == plain[1], "the test would notice"
            assert jar == plain[2]
    finally:
        unmeasure()


words = st.text("abcXYZ019 -_.~%&=+/?#\u00e9\u20ac", max_size=8)
names = st.sampled_from(["a", "b", "page", "x-y", "\u00e9"])
header_names = st.sampled_from(["X-One", "x-two", "Accept", "Content-Type", "User-Agent", "Cookie"])
header_values = st.text("abcXYZ019-_.~%&=+/;, ", max_size=8).map(str.strip)
headers = st.dictionaries(header_names, header_values | st.none(), max_size=3)
cookie_values = st.text("abcXYZ019-_.", min_size=1, max_size=6)
jars = st.dictionaries(st.sampled_from(["mine", "yours", "a-b"]), cookie_values, max_size=2)
scalars = words | st.integers() | st.booleans() | st.none()
bodies = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"json": st.dictionaries(names, scalars, max_size=3) | st.lists(scalars)}
    ),
    st.fixed_dictionaries({"data": st.dictionaries(names, words | st.lists(words), max_size=3)}),
    st.fixed_dictionaries({"data": st.lists(st.tuples(names, words), max_size=3)}),
    st.fixed_dictionaries({"data": st.binary(max_size=20)}),
    st.fixed_dictionaries({"data": st.text("abc=&", max_size=10)}),
)
params = st.one_of(
    st.none(),
    st.dictionaries(names, words | st.integers() | st.lists(words), max_size=3),
    st.lists(st.tuples(names, words), max_size=3),
    words,
)
auths = st.sampled_from([None, None, ("ann", "secret"), HTTPBasicAuth("bo\u00e9", ""), Signing()])
paths = st.sampled_from(
    [
        "/",
        "/any/7",
        "/any?x=1",
        "/any/a b",
        "/any/%7Euser",
        "/any/\u00e9?q=\u20ac",
        "/any/..;/x#part",
        *(
            "/status/404",
            "/status/204",
            "/to/1",
            "/to/3",
            "/loop",
            "/basic",
            "/chunked",
            "/gzip",
            "/last",
        ),
    ]
)
methods = st.sampled_from(
    ["GET", "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "get"]
)


@st.composite
def requests_to_make(draw: st.DrawFn) -> dict[str, Any]:
    options: dict[str, Any] = draw(bodies)
    for name, values in (("params", params), ("headers", headers), ("auth", auths)):
        if draw(st.booleans()):
            options[name] = draw(values)
    if draw(st.booleans()):
        options["cookies"] = draw(jars)
    if draw(st.integers(0, 3)) == 0:
        options["allow_redirects"] = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        options["timeout"] = 5
    method, path = draw(methods), draw(paths)
    return {
        "method": method,
        "path": path,
        "options": options,
        "session_headers": {k: v for k, v in draw(headers).items() if v is not None},
        "session_cookies": draw(jars),
    }


@quick
@given(requests_to_make())
def test_any_request_is_sent_and_answered_as_by_requests(
    module_server: RawServer, wanted: dict[str, Any]
) -> None:
    """The same bytes arrive, and the same comes back: twice, with what the first time left."""
    check_is_the_same(module_server, wanted)


def fresh_hooks() -> dict[str, Any]:
    return {"response": [lambda response, *_, **__: None]}


CHANGES: list[Callable[[requests.Session], object]] = [
    lambda own: setattr(own, "auth", ("ann", "secret")),
    lambda own: setattr(own, "auth", None),
    lambda own: setattr(own, "params", {"always": "1"}),
    lambda own: setattr(own, "params", {}),
    lambda own: own.params.update(more="2"),  # type: ignore[union-attr]
    lambda own: own.headers.update({"X-Of-Session": "1"}),
    lambda own: own.headers.pop("X-Of-Session", None),
    lambda own: own.cookies.set("later", "1", path="/any"),
    lambda own: own.cookies.clear(),
    lambda own: own.hooks.update(fresh_hooks()),
    lambda own: own.hooks.update(response=[]),
    lambda own: setattr(own, "max_redirects", 2),
]


@quick
@given(
    st.lists(
        st.tuples(st.none() | st.sampled_from(CHANGES), requests_to_make(), st.integers(1, 2)),
        min_size=2,
        max_size=4,
    )
)
def test_any_requests_of_a_session_that_changes_are_the_same(
    module_server: RawServer, steps: list[tuple[Any, dict[str, Any], int]]
) -> None:
    """What is kept of one request is not taken for the next."""

    def all_of(kind: type[requests.Session]) -> Any:
        module_server.take()
        with kind() as own:
            own.trust_env = False
            own.max_redirects = 5
            seen = []
            for change, wanted, times in steps:
                if change is not None:
                    change(own)
                url = module_server.url + wanted["path"]
                for _ in range(times):
                    try:
                        seen.append(looks(own.request(wanted["method"], url, **wanted["options"])))
                    except (requests.RequestException, ValueError) as error:
                        seen.append(type(error))
            return module_server.take(), seen, cookies(own.cookies)

    check_both(all_of, requests.Session, Session)


class Generated:
    """A body that comes piece by piece."""

    def __repr__(self) -> str:  # names of tests have it in them
        return "Generated()"

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"one", b"two")


ENDLESS: dict[str, Any] = {}
ENDLESS["itself"] = ENDLESS


@pytest.mark.parametrize(
    "options",
    [
        {"data": Generated()},
        {"stream": True},
        {"verify": False},
        {"hooks": {"response": []}},
        {"proxies": {}},
        {"timeout": (1, 2)},
        {"headers": {"Connection": "close"}},
        {"headers": {"Host": "another.example"}},
        {"headers": {b"X-Bytes": b"yes"}},
        {"headers": {"Content-Length": "0"}},
        {"headers": {"Accept": None, "User-Agent": None, "Accept-Encoding": None}},
        {"headers": {"X-Bad": "a\r\nb"}},
        {"params": b"a=b"},
        {"params": "100%"},
        {"json": float("nan")},
        {"json": {"b": [1, None, 'ü"', {}], "a": -1.5e300}},
        {"json": {"a": float("inf")}},
        {"json": {3: True, None: 1.0}},
        {"json": ENDLESS},
        {"json": []},
    ],
    ids=lambda options: repr(options).replace("\\", ""),
)
def test_a_rarer_request_is_the_same_too(server: RawServer, options: dict[str, Any]) -> None:
    check_is_the_same(server, {"method": "POST", "path": "/any", "options": options})


def test_a_request_that_a_redirect_took_the_body_from(server: RawServer) -> None:
    """It says that it has none: some servers answer 411 to one that does not."""
    check_is_the_same(server, {"method": "PUT", "path": "/to/3", "options": {"data": b"x"}})


def test_a_signed_request_takes_its_cookies_through_redirects(server: RawServer) -> None:
    wanted = {
        "method": "GET",
        "path": "/to/1",
        "options": {"auth": Signing()},
        "session_cookies": {"mine": "0"},
    }
    check_is_the_same(server, wanted)


def test_an_authentication_in_two_steps_keeps_cookies(server: RawServer) -> None:
    """The session's, and those that came with the challenge."""

    def cookie_lines(kind: type[requests.Session]) -> list[list[bytes]]:
        server.take()
        with kind() as own:
            own.cookies.set("mine", "0")
            for _ in range(2):
                own.get(f"{server.url}/digest", auth=HTTPDigestAuth("ann", "secret"))
        heads = [arrived.split(b"\r\n") for arrived in server.take()]
        return [[line for line in head if line.startswith(b"Cookie")] for head in heads]

    check_both(cookie_lines, Session)


@pytest.mark.parametrize("path", ["/close", "/reset", "/cut", "/garbage", "/to-nowhere"])
def test_an_exception_is_the_same_too(server: RawServer, path: str) -> None:
    check_is_the_same(server, {"method": "GET", "path": path, "options": {}})


@pytest.mark.parametrize("options", [{}, {"data": b"x"}, {"auth": ("ann", "secret")}])
def test_what_differs_little_is_the_same_too(server: RawServer, options: dict[str, Any]) -> None:
    """Paths, parameters and headers that change from request to request: one model serves all."""

    def asked(kind: type[requests.Session]) -> Any:
        server.take()
        with kind() as own:
            own.trust_env = False
            seen = [
                looks(own.post(server.url + path, params=params, headers=given, **options))
                for path in ("/any/1", "/any/2?x=y", "/any/a b", "/any/./3", "/any/%zz?q=%41")
                for params in (None, {"page": 1}, {"page": True}, {"page": 1.0, "q": "a b"})
                for given in (None, {"X-Id": "1"}, {"X-Id": "two words"}, {"x-id": ""})
            ]
            return server.take(), seen

    check_both(asked, Session)


def test_a_session_may_change_between_requests(server: RawServer) -> None:
    def asked(kind: type[requests.Session]) -> Any:
        server.take()
        with kind() as own:
            own.trust_env = False
            for change in (
                lambda: None,
                lambda: own.headers.update({"X-Token": "one"}),
                lambda: own.headers.update({"X-Token": "two"}),
                lambda: own.headers.pop("X-Token"),
                lambda: own.params.update({"a": "b"}),  # type: ignore[union-attr]
                own.params.clear,  # type: ignore[union-attr]
                lambda: setattr(own, "auth", ("ann", "secret")),
                lambda: setattr(own, "auth", None),
                lambda: setattr(own, "headers", {"Only": "this"}),
                lambda: own.cookies.set("late", "1"),
                lambda: own.cookies.set("late", "2"),
                lambda: [setattr(cookie, "value", "3") for cookie in own.cookies],
                lambda: own.cookies.set("gone", "1", expires=1),
                own.cookies.clear,
                lambda: own.mount("http://", HTTPAdapter()),
                lambda: own.adapters.update({"http://": HTTPAdapter()}),
                lambda: own.mount(server.url + "/any", HTTPAdapter()),
                lambda: own.adapters.pop(server.url + "/any"),
                lambda: setattr(own, "params", {"c": "d"}),
                lambda: own.params.pop("c"),  # type: ignore[union-attr]
                lambda: own.headers.update({"X-Late": "1"}),
            ):
                change()
                for _ in range(2):
                    own.get(f"{server.url}/status/404")
                    own.post(f"{server.url}/any", json={"a": 1})
            return server.take()

    check_both(asked, Session, requests.Session)


def test_sessions_may_share_their_headers(measured: None, server: RawServer) -> None:
    with Session() as one, requests.Session() as other:
        other.headers = one.headers
        for number in range(3):
            one.headers["X-Number"] = str(number)
            for own in (one, other, one):
                own.get(f"{server.url}/any")
                assert f"X-Number: {number}\r\n".encode() in server.take()[0]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda own: pickle.loads(pickle.dumps(own))])
def test_a_session_that_was_used_can_be_copied(
    measured: None, server: RawServer, again: Callable[[Any], requests.Session]
) -> None:
    with requests.Session() as own:
        own.headers["X-Number"] = "1"
        own.get(f"{server.url}/any")
        with again(own) as other:
            assert type(other.headers) is type(own.headers)
            other.headers["X-Number"] = "2"
            server.take()
            for each in (own, other):
                each.get(f"{server.url}/any")
    assert [re.search(rb"X-Number: (.)", sent)[1] for sent in server.take()] == [b"1", b"2"]  # type: ignore[index]


@pytest.mark.parametrize("kind", [Session, requests.Session])
def test_a_request_method_of_somebody_elses_is_called(
    measured: None, server: RawServer, kind: type[requests.Session]
) -> None:
    """As by ``mock.patch``, of the class or of one session, or in a class of the test's own."""
    called: list[tuple[Any, ...]] = []

    class Derived(kind):  # type: ignore[misc, valid-type]
        def request(self, *args: Any, **kwargs: Any) -> Any:
            called.append(args)
            return super().request(*args, **kwargs)

    with kind() as own, Derived() as derived:
        for each in (own, derived):
            each.get(f"{server.url}/any")
            each.post(f"{server.url}/any", data={"a": "b"})
        assert [args[0] for args in called] == ["GET", "POST"]
        with mock.patch.object(kind, "request", lambda *args, **_: called.append(args[1:])):
            own.get(f"{server.url}/any")
        with mock.patch.object(own, "request", lambda *args, **_: called.append(args)):
            own.post(f"{server.url}/any", data={"a": "b"})
        assert [args[0] for args in called] == ["GET", "POST"] * 2
        assert own.get(f"{server.url}/any").status_code == 200


def test_what_is_no_json_spoils_nothing(hits: Hits, server: RawServer) -> None:
    shared = {"a": 1}
    with Session() as own:
        for _ in range(2):
            with pytest.raises(TypeError):
                own.post(f"{server.url}/any", json=[shared, {1, 2}])
            own.post(f"{server.url}/any", json=[shared, shared])
    assert [sent.rpartition(b"\r\n")[2] for sent in server.take()] == [b'[{"a": 1}, {"a": 1}]'] * 2


def test_equal_answers_are_answers_of_their_own(hits: Hits, server: RawServer) -> None:
    with Session() as own:
        answers = [own.get(f"{server.url}/status/404") for _ in range(4)]
        answers[0].headers["X-Own"] = "changed"
        assert [answer.status_code for answer in answers] == [404] * 4
        assert len({id(answer.headers) for answer in answers}) == 4
        assert "X-Own" not in answers[1].headers
    assert hits.read() == {"GET /status/{n}": {"404": 4}}


def test_a_new_session_looks_at_the_environment(
    hits: Hits, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Session() as own:
        assert own.get(f"{server.url}/any/1").ok
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Session() as own, pytest.raises(requests.exceptions.ProxyError):
        own.get(f"{server.url}/any/2")


def test_a_timeout_is_of_its_own_request(hits: Hits, server: RawServer) -> None:
    own = Session()
    until = time.monotonic() + 0.2
    own.get(f"{server.url}/any", timeout=0.1)
    while time.monotonic() < until:
        assert own.get(f"{server.url}/any", timeout=30).status_code == 200
    with pytest.raises(requests.ReadTimeout):
        own.get(f"{server.url}/hang", timeout=0.05)


# -- the fast path ---------------------------------------------------------------------------------


@pytest.mark.skipif(FAST, reason="this is it")
def test_all_of_it_on_the_fast_path() -> None:
    """In a process of its own, because gevent patches all of it."""
    code = (
        "from gevent import monkey; monkey.patch_all(); import sys, pytest; "
        f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {__file__!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LOADS_TEST_FAST": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
