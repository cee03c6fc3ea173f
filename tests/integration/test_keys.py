"""Keys in files, tokens as texts, and the log of who did what."""

from __future__ import annotations

import json
import os
import resource
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from loads.cli import keys as keys_command
from loads.errors import UsageError
from loads.protocol.roles import UNLOCKED, Role
from loads.transport import keys
from loads.transport.arguments import PREFIX, token_in
from loads.transport.audit import AuditLog
from loads.transport.home import home_directory, make_home, read_private, write_private
from loads.transport.keys import KeyRing
from loads.transport.pairs import Pair, public_of
from loads.transport.tokens import (
    Access,
    Credentials,
    find_access,
    make_token,
    read_token,
)

AT = "tcp://box.example:7780"
NOW = 1_800_000_000.0


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "home")


def modes(directory: Path) -> dict[str, int]:
    return {
        str(path.relative_to(directory)): stat.S_IMODE(path.stat().st_mode)
        for path in directory.rglob("*")
    }


# -- tokens ----------------------------------------------------------------------------------------

_NAMES = st.text(min_size=1, max_size=64)


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    _NAMES,
    st.sampled_from(Role),
    st.floats(0, 1e11),
)
def test_a_token_says_what_was_put_into_it(
    server: bytes, secret: bytes, name: str, role: Role, expires: float
) -> None:
    access = Access(AT, Credentials(server, secret, name, role, expires))
    token = make_token(access)
    assert read_token(token) == access
    assert token_in(["--broker", token]) == token
    assert token_in([f"--broker={token}", "-a", "1"]) == token


def test_a_token_is_never_shown() -> None:
    credentials = Credentials(b"s" * 32, b"k" * 32, "box")
    for shown in (repr(credentials), repr(Access(AT, credentials)), str(Access(AT, credentials))):
        assert "kkk" not in shown
    assert str(Access(AT, credentials)) == AT


def test_a_damaged_token_is_called_that_and_not_repeated() -> None:
    token = make_token(Access(AT, Credentials(b"s" * 32, b"k" * 32, "box")))
    damaged = [token[:at] + "A" + token[at + 1 :] for at in range(len(PREFIX), len(token), 7)]
    damaged = [text for text in damaged if text != token]
    for text in (token[:-1], token[:40], PREFIX, PREFIX + "é", token + "AAAA", *damaged):
        with pytest.raises(UsageError, match="The token is damaged") as caught:
            read_token(text)
        assert len(text) < 12 or text[10:] not in str(caught.value)


@given(st.text(max_size=300))
def test_no_text_is_more_than_a_damaged_token(text: str) -> None:
    with pytest.raises(UsageError):
        read_token(PREFIX + text)


def test_what_gives_access(ring: KeyRing, tmp_path: Path) -> None:
    token = ring.add("anne", Role.RUNNER, AT, NOW)
    access = find_access(token, ring.home)
    assert access.endpoint == AT
    assert access.credentials is not None
    assert access.credentials.server == ring.broker().public
    file = tmp_path / "token"
    write_private(file, token.encode() + b"\n")
    assert find_access(f"@{file}", ring.home) == access
    file.chmod(0o644)
    with pytest.raises(UsageError, match="Others can read"):
        find_access(f"@{file}", ring.home)
    with pytest.raises(UsageError, match="There is no file"):
        find_access("@/nowhere/token", ring.home)


def test_the_owner_finds_the_key_of_a_broker_on_this_machine(ring: KeyRing) -> None:
    assert find_access("tcp://127.0.0.1:7780", ring.home).credentials is None
    ring.open("tcp://0.0.0.0:7780")
    for host in ("127.0.0.1", "localhost", "[::1]"):
        own = find_access(f"tcp://{host}:7780", ring.home).credentials
        assert own is not None
        assert own.server == ring.broker().public
        assert public_of(own.secret) == ring.owner().public
        assert own.role is Role.OWNER
    for other in ("tcp://box:7780", "ipc:///run/x.sock"):
        assert find_access(other, ring.home).credentials is None


def test_the_owner_trusts_nobody_who_has_taken_a_port(ring: KeyRing) -> None:
    """On this machine, any user can: only a broker that has no locks says that there are none."""
    at = "tcp://127.0.0.1:7780"
    ring.open("tcp://0.0.0.0:7780")
    own = find_access(at, ring.home).credentials
    assert own is not None
    keys.close(ring.home, "tcp://0.0.0.0:7780")
    assert find_access(at, ring.home).credentials == own
    keys.note_insecure(ring.home, "tcp://0.0.0.0:7780")
    assert find_access(at, ring.home).credentials is None
    assert find_access("tcp://127.0.0.1:7781", ring.home).credentials == own
    keys.close(ring.home, "tcp://0.0.0.0:7780")
    assert find_access(at, ring.home).credentials == own


def test_an_owner_whose_broker_was_never_started_has_a_key(ring: KeyRing) -> None:
    """Who waits for it is let in when it is."""
    ring.add("box", Role.AGENT, AT, NOW)
    own = find_access("tcp://127.0.0.1:7780", ring.home).credentials
    assert own is not None
    assert public_of(own.secret) == ring.owner().public


def test_who_has_no_broker_has_no_key(ring: KeyRing) -> None:
    assert find_access("tcp://127.0.0.1:7780", ring.home).credentials is None
    assert not list(ring.home.glob("*.key"))


# -- the ring --------------------------------------------------------------------------------------


def test_all_of_it_is_for_its_user_only(ring: KeyRing) -> None:
    ring.add("box", Role.AGENT, AT, NOW)
    ring.open("tcp://0.0.0.0:7780")
    ring.note_use(["box"], NOW)
    AuditLog(ring.home).close()
    assert stat.S_IMODE(ring.home.stat().st_mode) == 0o700
    found = modes(ring.home)
    assert {name for name, mode in found.items() if mode == 0o700} == {"keys", "used", "brokers"}
    assert {name for name, mode in found.items() if mode == 0o600} == {
        *("broker.key", "owner.key", "frontend", "audit.log"),
        *("keys/box", "used/box", "brokers/7780"),
    }


def test_the_secret_of_a_key_that_was_given_away_is_kept_nowhere(ring: KeyRing) -> None:
    credentials = read_token(ring.add("box", Role.AGENT, AT, NOW)).credentials
    assert credentials is not None
    texts = (credentials.secret, credentials.secret.hex().encode())
    for path in ring.home.rglob("*"):
        if path.is_file():
            assert not any(text in path.read_bytes() for text in texts), path


def test_a_pair_is_made_once(ring: KeyRing) -> None:
    assert ring.is_new
    pair = ring.broker()
    assert not ring.is_new
    assert KeyRing(ring.home).broker() == pair
    assert public_of(pair.secret) == pair.public
    assert ring.owner() != pair


def test_two_brokers_that_start_together_have_one_pair(ring: KeyRing) -> None:
    pairs: list[Pair] = []
    threads = [threading.Thread(target=lambda: pairs.append(ring.broker())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pairs) == 8
    assert len({pair.secret for pair in pairs}) == 1


def test_the_life_of_a_key(ring: KeyRing) -> None:
    ring.add("box", Role.AGENT, AT, NOW, NOW + 60)
    ring.add("anne", Role.RUNNER, AT, NOW)
    ring.note_use(["box"], NOW + 5)
    (anne, box), complaints = ring.keys()
    assert not complaints
    assert (anne.name, anne.role, anne.state(NOW + 1e9), anne.used) == (
        "anne",
        "runner",
        "valid",
        0,
    )
    assert (box.name, box.role, box.created, box.used) == ("box", "agent", NOW, NOW + 5)
    assert [box.state(NOW + after) for after in (0, 59, 60)] == ["valid", "valid", "expired"]
    before = ring.version
    assert ring.revoke("box", NOW + 10).state(NOW + 10) == "revoked"
    assert ring.version != before
    assert ring.revoke("box", NOW + 20).revoked == NOW + 10, "twice is once"
    with pytest.raises(UsageError, match="There is, or was, a key of the name box"):
        ring.add("box", Role.RUNNER, AT, NOW)


def test_a_key_is_not_called_like_those_who_need_none(ring: KeyRing) -> None:
    """Their agents would be sent away when it is revoked."""
    with pytest.raises(UsageError, match="is no name for a key") as caught:
        ring.add(UNLOCKED.name, Role.AGENT, AT, NOW)
    assert "local means whoever needs no key" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "-a", "@owner", "a b", "é", "a" * 65]
)
def test_what_is_no_name(ring: KeyRing, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a key"):
        ring.add(name, Role.AGENT, AT, NOW)
    with pytest.raises(UsageError, match="There is no key"):
        ring.revoke(name, NOW)


def test_a_file_that_is_no_key_counts_for_nothing(ring: KeyRing) -> None:
    for name in ("good", "renamed", "open", "empty", "nonsense", "role", "time", "folder", "deep"):
        ring.add(name, Role.AGENT, AT, NOW)
    folder = ring.home / "keys"
    (folder / "renamed").rename(folder / "copied")
    (folder / "open").chmod(0o640)
    (folder / "empty").write_bytes(b"")
    (folder / "nonsense").write_bytes(b"\xff\xfe")
    said = json.loads((folder / "role").read_text())
    (folder / "role").write_text(json.dumps({**said, "role": "root"}))
    (folder / "time").write_text(json.dumps({**said, "name": "time", "expires": "never"}))
    (folder / "folder").unlink()
    (folder / "folder").mkdir(mode=0o700)
    (folder / "deep").write_text("[" * 100_000)
    found, complaints = ring.keys()
    assert [key.name for key in found] == ["good"]
    assert len(complaints) == 8
    assert any("Others can read" in text for text in complaints)


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"zz" * 32, b"\xff" * 64])
def test_a_broker_without_a_key_says_so(ring: KeyRing, content: bytes) -> None:
    write_private(ring.home / "broker.key", content)
    with pytest.raises(UsageError, match="holds no key"):
        ring.broker()


def test_a_key_that_others_can_read_is_not_used(ring: KeyRing) -> None:
    ring.broker()
    (ring.home / "broker.key").chmod(0o604)
    with pytest.raises(UsageError, match="Others can read"):
        ring.broker()


def test_where_tokens_lead(ring: KeyRing) -> None:
    with pytest.raises(UsageError, match="not known where the broker is"):
        ring.frontend("box")
    ring.open("tcp://0.0.0.0:7780")
    assert ring.frontend("box") == "tcp://box:7780"
    ring.open("tcp://10.0.0.5:7780")
    assert ring.frontend("box") == "tcp://10.0.0.5:7780"
    ring.open("ipc:///run/frontend.sock")
    with pytest.raises(UsageError, match="needs no keys"):
        ring.frontend("box")


# -- home and log ----------------------------------------------------------------------------------


def test_where_home_is() -> None:
    assert home_directory({"LOADS_HOME": "/a", "XDG_CONFIG_HOME": "/b"}) == Path("/a")
    assert home_directory({"XDG_CONFIG_HOME": "/b"}) == Path("/b/loads")
    assert home_directory({}) == Path.home() / ".config" / "loads"


def test_a_home_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    home.chmod(0o750)
    with pytest.raises(UsageError, match="Others can enter") as caught:
        KeyRing(home)
    assert f"chmod 700 {home}" in caught.value.hint


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_secret_of_another_user_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", b"x")
    os.chown(tmp_path / "secret", 12345, 12345)
    with pytest.raises(UsageError, match="Others can read"):
        read_private(tmp_path / "secret")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", b"first")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "secret", b"second", replace=False)
    assert read_private(tmp_path / "secret") == b"first"
    write_private(tmp_path / "secret", b"third")
    assert read_private(tmp_path / "secret") == b"third"
    assert modes(tmp_path) == {"secret": 0o600}, "nothing is left of the attempt that failed"


def test_the_log_is_only_ever_added_to(tmp_path: Path) -> None:
    for number in range(3):
        log = AuditLog(tmp_path / "home")
        log.write(NOW + number, "submit", by="anne", target='a "test"\nof two lines')
        log.close()
    lines = (tmp_path / "home" / "audit.log").read_text().splitlines()
    assert [json.loads(line)["at"][:19] for line in lines] == [
        "2027-01-15T08:00:00",
        "2027-01-15T08:00:01",
        "2027-01-15T08:00:02",
    ]
    assert json.loads(lines[0])["target"] == 'a "test"\nof two lines'


def test_a_log_that_has_grown_large_becomes_the_older_one(tmp_path: Path) -> None:
    """Whoever writes: one that has another file open finds that it is the older one now."""
    home = tmp_path / "home"
    logs = [AuditLog(home, max_size=1_000) for _ in range(3)]
    for number in range(300):
        logs[number % 3].write(NOW, "submit", number=str(number))
    for log in logs:
        log.close()
    kept = {"audit.log", "audit.log.1"}
    assert modes(home) == dict.fromkeys(kept, 0o600)
    lines = [json.loads(line) for name in sorted(kept, reverse=True)
             for line in (home / name).read_text().splitlines()]  # fmt: skip
    assert all((home / name).stat().st_size < 1_000 + 100 for name in kept)
    numbers = [int(line["number"]) for line in lines]
    assert numbers == list(range(300 - len(numbers), 300)), "the latest, in order, without a gap"
    assert len(numbers) > 1_000 // 100


def test_a_log_that_was_removed_is_begun_anew(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "home")
    log.path.unlink()
    log.write(NOW, "submit")
    log.close()
    assert json.loads(log.path.read_text())["what"] == "submit"


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    (home / "audit.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot be written"):
        AuditLog(home)


# -- the command -----------------------------------------------------------------------------------


def nothing(home: Path) -> None:
    """Nothing is in the way."""


def log_in_the_way(home: Path) -> None:
    (home / "audit.log").mkdir()


def output_in_the_way(home: Path) -> None:
    (home / "token").mkdir()


def full_disk(home: Path) -> None:
    """The key can be kept, and what is longer cannot be written."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, resource.RLIM_INFINITY))


@pytest.mark.parametrize("output", ["token", "nowhere/token"])
@pytest.mark.parametrize("fault", [nothing, log_in_the_way, output_in_the_way, full_disk])
def test_a_key_is_not_made_whose_token_cannot_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Path], None], output: str
) -> None:
    """Its name would be used up, and the token lost."""
    home = make_home(tmp_path / "home")
    monkeypatch.setenv("LOADS_HOME", str(home))
    ring, limits = KeyRing(home), resource.getrlimit(resource.RLIMIT_FSIZE)
    ring.broker()
    far = f"tcp://{'box.' * 30}example:7780"  # a token that is longer than what is kept of its key
    args = ["add", "box", "--role", "agent", "--at", far, "-o", str(home / output)]
    fault(home)
    try:
        result = CliRunner().invoke(keys_command.main, args)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    found, _ = ring.keys()
    if (fault, output) == (nothing, "token"):
        assert result.exit_code == 0, result.output
        assert [key.name for key in found] == ["box"]
        assert read_token(read_private(home / output).decode().strip()).credentials is not None
        return
    assert result.exit_code == 2
    assert "cannot be written" in result.output
    assert not found
    assert not list(home.glob(".new-*"))
