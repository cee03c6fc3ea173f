"""Bundles: the same bytes for the same files, and nothing written where it does not belong."""

from __future__ import annotations

import io
import os
import stat
import struct
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loads import bundle
from loads.bundle import Bundle, copy_to, digest_of, pack, unpack
from loads.errors import BundleError

few = settings(max_examples=20, deadline=None, database=None)

names = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/\\:\x00"),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", ".."))
files = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=200), st.sampled_from([0o644, 0o755, 0o600, 0o700])),
    max_size=5,
)


def lay(root: Path, contents: Mapping[str, tuple[bytes, int]]) -> list[Path]:
    """Write files; those whose path another file is in the way of are left out."""
    written = []
    for name, (content, mode) in contents.items():
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            continue
        path.chmod(mode)
        written.append(path)
    return sorted(path for path in set(written) if path.is_file())


def read(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in root.rglob("*")
        if path.is_file()
    }


@few
@given(files)
def test_what_is_packed_is_what_is_unpacked(contents: Mapping[str, tuple[bytes, int]]) -> None:
    """Names, contents and modes."""
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        packed = pack(Path(here), iter(lay(Path(here), contents)))
        unpack(packed.data, packed.digest, Path(there))
        assert read(Path(there)) == read(Path(here))


@few
@given(files)
def test_the_same_files_are_the_same_bytes(contents: Mapping[str, tuple[bytes, int]]) -> None:
    """Wherever they are, and whenever they were written."""
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        first = lay(Path(here), contents)
        second = lay(Path(there), contents)
        for path in second:
            os.utime(path, (1e9, 1e9))
        assert pack(Path(here), iter(first)) == pack(Path(there), iter(second))


def test_a_digest_is_that_of_the_bytes() -> None:
    assert digest_of(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    """A pipe would block whoever reads it; a link to nowhere has nothing to read."""
    (tmp_path / "test.py").write_text("pass")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    packed = pack(tmp_path, iter(sorted(tmp_path.iterdir())))
    assert zipfile.ZipFile(io.BytesIO(packed.data)).namelist() == ["test.py"]


def test_a_link_travels_as_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("words")
    (tmp_path / "link").symlink_to("data")
    target = tmp_path / "there"
    packed = pack(tmp_path, iter([tmp_path / "link"]))
    target.mkdir()
    unpack(packed.data, packed.digest, target)
    assert not (target / "link").is_symlink()
    assert (target / "link").read_text() == "words"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.write_text("")

    with pytest.raises(BundleError, match="cannot be read"):
        pack(tmp_path, iter([_Vanishing(gone)]))


class _Vanishing(type(Path())):  # type: ignore[misc]
    """A file that is removed between a look at it and its reading."""

    def is_file(self) -> bool:
        return True

    def read_bytes(self) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", str(self))


def test_a_test_of_a_whole_disk_does_not_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = lay(tmp_path, {f"file-{number}": (os.urandom(100), 0o644) for number in range(5)})
    for limit, value in (("MAX_FILES", 4), ("MAX_UNPACKED", 499), ("MAX_PACKED", 400)):
        with monkeypatch.context() as patch:
            patch.setattr(bundle, limit, value)
            with pytest.raises(BundleError) as caught:
                pack(tmp_path, iter(paths))
            assert "directory of its own" in caught.value.hint
    pack(tmp_path, iter(paths))


# -- evil archives ---------------------------------------------------------------------------------


def archive(*entries: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644) -> bytes:
    """A zip archive with entries of any name and kind, after one that is harmless."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("harmless.py", b"pass")
        for name, content in entries:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, content)
    return buffer.getvalue()


def refuse(data: bytes, directory: Path, digest: str = "") -> str:
    """Unpack what must be refused with nothing written anywhere; gives the message."""
    room = directory / "room"
    room.mkdir(parents=True)
    before = sorted(directory.rglob("*"))
    with pytest.raises(BundleError) as caught:
        unpack(data, digest or digest_of(data), room)
    assert sorted(directory.rglob("*")) == before, "something was written"
    return caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "a/../../evil.py",
        "a/..",
        "..",
        "/tmp/evil.py",
        "//evil.py",
        "..\\evil.py",
        "a\\b.py",
        "C:evil.py",
        "C:\\evil.py",
        "evil.py:stream",
    ],
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    assert "outside of its directory" in refuse(archive((name, b"evil")), tmp_path)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("link", stat.S_IFLNK | 0o777),
        ("pipe", stat.S_IFIFO | 0o644),
        ("device", stat.S_IFCHR | 0o644),
        ("socket", stat.S_IFSOCK | 0o644),
        ("directory", stat.S_IFDIR | 0o755),
        ("directory/", stat.S_IFDIR | 0o755),
        ("directory/", stat.S_IFREG | 0o755),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    """Above all a link, through which the next entry would write elsewhere."""
    data = archive((name, b"/etc/passwd"), mode=mode)
    assert "no file" in refuse(data, tmp_path)


def test_a_set_user_id_bit_does_not_travel(tmp_path: Path) -> None:
    data = archive(("tool", b"x"), mode=stat.S_IFREG | 0o6755)
    unpack(data, digest_of(data), tmp_path)
    assert stat.S_IMODE((tmp_path / "tool").stat().st_mode) == 0o755


def test_another_bundle_than_was_promised_is_refused(tmp_path: Path) -> None:
    data = archive()
    assert "not what its digest says" in refuse(data, tmp_path, digest_of(data + b" "))


def test_a_bundle_of_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_UNPACKED", 1_000)
    assert "too large" in refuse(archive(("bomb", bytes(2_000))), tmp_path / "size")
    monkeypatch.setattr(bundle, "MAX_FILES", 3)
    entries = [(f"{number}.py", b"") for number in range(3)]
    assert "too large" in refuse(archive(*entries), tmp_path / "count")


def lying(data: bytes, true: int, told: int) -> bytes:
    """The archive with another size in its directory and in its headers."""
    return data.replace(struct.pack("<L", true), struct.pack("<L", told))


@pytest.mark.parametrize("told", [10, 4_999, 2_000_000])
def test_a_bundle_that_lies_about_sizes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    """It cannot have more written than it says, nor more than there may be."""
    monkeypatch.setattr(bundle, "MAX_UNPACKED", 1_000_000)
    data = lying(archive(("bomb", bytes(5_000))), 5_000, told)
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(BundleError):
        unpack(data, digest_of(data), room)
    assert not list(room.rglob("bomb"))


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    at = data.index(b"harmless.py") + 13
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [_cut, _flip, lambda data: data[:-1], lambda data: b"", lambda data: b"PK" + data],
    ids=["cut in half", "a bit flipped", "one byte short", "empty", "shifted"],
)
def test_a_damaged_bundle_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Even when somebody made a digest for it."""
    data = damage(archive(("more.py", b"pass" * 100)))
    try:
        unpack(data, digest_of(data), tmp_path)
    except BundleError:
        return
    assert (tmp_path / "harmless.py").read_bytes() == b"pass", "or it was not damaged in effect"


@pytest.mark.parametrize("at", range(0, 60, 4))
def test_a_file_whose_packed_content_is_damaged_is_refused(tmp_path: Path, at: int) -> None:
    """zlib has errors of its own, which are not those of zip archives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.py", bytes(range(256)) * 20)
    data = bytearray(buffer.getvalue())
    start = 30 + len("a.py") + at  # behind the header of the only file
    data[start : start + 8] = (byte ^ 0xFF for byte in data[start : start + 8])
    with pytest.raises(BundleError, match="damaged"):
        unpack(bytes(data), digest_of(bytes(data)), tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_way_of_packing_that_is_not_ours_is_refused(tmp_path: Path, method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        packed.writestr("a.py", b"pass")
    data = buffer.getvalue()
    with pytest.raises(BundleError, match="not ours"):
        unpack(data, digest_of(data), tmp_path)
    assert not list(tmp_path.iterdir())


@few
@given(st.binary(max_size=300))
def test_any_bytes_are_unpacked_or_refused(noise: bytes) -> None:
    """Nothing but our own error ever comes out of it."""
    good = archive()
    with tempfile.TemporaryDirectory() as here:
        for data in (noise, good + noise, noise + good, good[:40] + noise + good[40:]):
            with suppress(BundleError):
                unpack(data, digest_of(data), Path(here))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle as it is sent, one of its files with a name that is not ASCII."""
    folder = tmp_path_factory.mktemp("real")
    paths = lay(folder, {"test_site.py": (b"pass", 0o644), "data/größe.json": (b"{}", 0o600)})
    return pack(folder, paths).data


@pytest.mark.parametrize("bit", range(8))
def test_a_bit_that_flips_anywhere_does_no_more_than_damage(
    real: bytes, tmp_path: Path, bit: int
) -> None:
    """In the directory, in names, in sizes: the agent that unpacks it has one error to know."""
    for at in range(len(real)):
        data = real[:at] + bytes([real[at] ^ 1 << bit]) + real[at + 1 :]
        with suppress(BundleError):
            unpack(data, digest_of(data), tmp_path)


@given(st.data())
def test_bytes_that_change_anywhere_do_no_more_than_damage(
    real: bytes, data: st.DataObject
) -> None:
    changed = bytearray(real)
    for at in data.draw(st.lists(st.integers(0, len(real) - 1), min_size=1, max_size=6)):
        changed[at] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as here, suppress(BundleError):
        unpack(bytes(changed), digest_of(bytes(changed)), Path(here))


def directory_of(entries: int, told: int) -> bytes:
    """An archive of nothing but a directory, which says that it has ``told`` entries."""
    entry = struct.pack("<4s24x3H12x", b"PK\1\2", 0, 0, 0)
    end = struct.pack("<4s4x2H2I2x", b"PK\5\6", told, told, len(entry) * entries, 0)
    return entry * entries + end


@pytest.mark.parametrize("told", [0, 1, 200_000 % 0x10000, 0xFFFF])
def test_a_directory_that_is_too_long_is_not_read(tmp_path: Path, told: int) -> None:
    """A bundle of 64 MB may have 1.4 million entries: objects of over a gigabyte."""
    data = directory_of(200_000, told)
    tracemalloc.start()
    try:
        assert "too large" in refuse(data, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_directory_that_says_it_is_too_long_is_not_read(tmp_path: Path) -> None:
    assert "too large" in refuse(directory_of(1, 20_001), tmp_path / "told")
    assert "damaged" in refuse(directory_of(2, 3), tmp_path / "more than there are")


def test_a_directory_of_another_kind_is_not_looked_for(tmp_path: Path) -> None:
    """zipfile would follow it, past what was counted."""
    locator = struct.pack("<4s16x", b"PK\6\7")
    end = struct.pack("<4s4x2H2I2x", b"PK\5\6", 0, 0, 0, len(locator))
    assert "damaged" in refuse(locator + end, tmp_path)


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    """The last one counts, as for every other reader of such archives; or it is refused."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = archive(("twice.py", b"one"), ("twice.py", b"two"))
    unpack(data, digest_of(data), tmp_path)
    assert (tmp_path / "twice.py").read_bytes() == b"two"


def test_an_entry_below_what_is_a_file_is_refused(tmp_path: Path) -> None:
    data = archive(("a", b"file"), ("a/b", b"below"))
    with pytest.raises(BundleError, match="cannot be written"):
        unpack(data, digest_of(data), tmp_path)


def test_a_password_is_not_asked_for(tmp_path: Path) -> None:
    data = archive(("secret.py", b"pass"))
    encrypted = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            encrypted[at + offset] |= 1
    refuse(bytes(encrypted), tmp_path)


def test_bundles_are_values() -> None:
    assert Bundle(b"a", "1") == Bundle(b"a", "1")


def test_files_are_copied_to_a_place_that_is_made(tmp_path: Path) -> None:
    """With their modes; what else is there stays, and so do what links there point to."""
    source, place = tmp_path / "source", tmp_path / "new" / "place"
    (source / "data").mkdir(parents=True)
    (source / "data" / "run.sh").write_text("one")
    (source / "data" / "run.sh").chmod(0o750)
    copy_to(place, source)
    (place / "other").write_text("mine")
    kept = tmp_path / "kept"
    kept.write_text("kept")
    (place / "data" / "run.sh").unlink()
    (place / "data" / "run.sh").symlink_to(kept)
    copy_to(place, source)
    found = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
    assert found == {"data/run.sh", "other"}
    assert (place / "data" / "run.sh").read_text() == "one"
    assert stat.S_IMODE((place / "data" / "run.sh").lstat().st_mode) == 0o750
    assert kept.read_text() == "kept"


def test_files_are_not_copied_to_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=r"cannot be copied to .*/file/place: "):
        copy_to(tmp_path / "file" / "place", tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has directories of somebody else's")
def test_files_are_not_copied_to_somebody_elses_directory(tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    os.chown(place, 12345, 12345)
    (tmp_path / "source").mkdir()
    with pytest.raises(BundleError, match="belongs to somebody else"):
        copy_to(place, tmp_path / "source")
