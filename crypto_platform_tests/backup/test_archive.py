"""An archive holds what was put in, says what it holds, and notices whatever became of it since."""

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.backup.archive import MANIFEST, BackupError, extract, verify, write

CONTENTS = {"lake/crypto/1Min/2026-03-01.jsonl.zst": b"bars" * 50_000, "alerts.db": b"", "dagster/a b.db": b"\0\1"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    files = []
    for number, (name, content) in enumerate(CONTENTS.items()):
        (tmp_path / str(number)).write_bytes(content)
        files.append((name, tmp_path / str(number)))
    told: list[tuple[str, int]] = []
    made = write(
        tmp_path / "one.tar.zst", files, {"crypto-platform": "1"}, {"parts": ["lake"]}, lambda *t: told.append(t)
    )
    assert told == [(name, len(content)) for name, content in CONTENTS.items()]
    assert made == verify(tmp_path / "one.tar.zst")
    return tmp_path / "one.tar.zst"


def test_what_comes_out_is_what_went_in(archive: Path, tmp_path: Path) -> None:
    manifest = extract(archive, tmp_path / "out")
    found = {
        f.relative_to(tmp_path / "out").as_posix(): f.read_bytes() for f in (tmp_path / "out").rglob("*") if f.is_file()
    }
    assert found == CONTENTS
    assert {name: entry.sha256 for name, entry in manifest.files.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()
    }
    assert (manifest.versions, manifest.about) == ({"crypto-platform": "1"}, {"parts": ["lake"]})
    assert archive.stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_not_written_over(archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        write(archive, [], {}, {}, lambda *_: None)
    assert archive.read_bytes() == before


def test_one_that_was_interrupted_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "one.tar.zst", [("gone", tmp_path / "gone")], {}, {}, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_changed_or_cut_archive_is_damaged(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "file").write_bytes(bytes(range(256)) * 20)
    write(folder / "one.tar.zst", [("lake/file", folder / "file")], {}, {}, lambda *_: None)
    packed = bytearray((folder / "one.tar.zst").read_bytes())
    if data.draw(st.booleans()):
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    else:
        # Uncompressed, for a change that the compression would not notice.
        whole = bytearray(pa.CompressedInputStream(pa.BufferReader(bytes(packed)), "zstd").read())
        at = whole.index(bytes(range(256))) + data.draw(st.integers(0, 20 * 256 - 1))
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
        packed = bytearray(pa.compress(bytes(whole), "zstd", asbytes=True))
    (folder / "one.tar.zst").write_bytes(packed)
    with pytest.raises(BackupError, match=r"damaged|no backup"):
        verify(folder / "one.tar.zst")


@pytest.mark.parametrize("name", ["../outside", "/absolute", "lake/../../outside"])
def test_nothing_is_written_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    with (
        pa.CompressedOutputStream(pa.OSFile(str(tmp_path / "one.tar.zst"), "wb"), "zstd") as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        tar.addfile(tarfile.TarInfo(name))
        tar.addfile(tarfile.TarInfo(MANIFEST))
    (tmp_path / "out").mkdir()
    with pytest.raises(BackupError, match="is no backup of this platform"):
        extract(tmp_path / "one.tar.zst", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"\x28\xb5\x2f\xfd"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.tar.zst").write_bytes(content)
    with pytest.raises(BackupError, match=r"one\.tar\.zst is (damaged|no backup)"):
        verify(tmp_path / "one.tar.zst")


def test_other_tools_unpack_it(archive: Path, tmp_path: Path) -> None:
    """Without this platform: what `zstd -d` gives is a tar file."""
    unpacked = tmp_path / "one.tar"
    unpacked.write_bytes(pa.CompressedInputStream(pa.OSFile(str(archive), "rb"), "zstd").read())
    listed = subprocess.run(["tar", "-tf", unpacked], capture_output=True, text=True, check=True).stdout.splitlines()
    assert listed == [*CONTENTS, MANIFEST]
