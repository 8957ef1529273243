"""A backup's archive: a tar file in Zstandard, whose last member, the manifest, says what every other holds."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import orjson
import pyarrow as pa

FORMAT = 1
MANIFEST = "manifest.json"
_CHUNK = 2**20


class BackupError(RuntimeError):
    """A backup cannot be made, is damaged or cannot be restored; says what to do, and nothing was changed."""


@dataclass(frozen=True)
class Entry:
    """A file of the archive: its size, and the SHA-256 of its content."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds: `files` by name, `versions` of what made it, `about` as its maker says."""

    format: int
    created_at: datetime
    versions: dict[str, str]
    files: dict[str, Entry]
    about: dict[str, Any]

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.files.values())


def write(
    path: Path,
    files: Iterable[tuple[str, Path]],
    versions: dict[str, str],
    about: dict[str, Any],
    tell: Callable[[str, int], None],
) -> Manifest:
    """Write `files`, (name, where it is), as an archive that is there whole or not at all, for its owner to read.

    `tell` is given each file's name and size once it is in. `about` is read after the last file.

    Raises:
        BackupError: there is such a file already.
        OSError: a file cannot be read, or the archive not written.
    """
    if path.exists():
        raise BackupError(f"{path} is there already: name another file, or remove it")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    entries: dict[str, Entry] = {}
    try:
        unfinished.touch(mode=0o600, exist_ok=False)
        with (
            pa.CompressedOutputStream(pa.OSFile(str(unfinished), "wb"), "zstd") as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, source in files:
                entries[name] = _add(tar, name, source)
                tell(name, entries[name].bytes)
            manifest = Manifest(FORMAT, datetime.now(UTC), versions, entries, about)
            content = orjson.dumps(asdict(manifest))
            tar.addfile(_member(MANIFEST, len(content)), io.BytesIO(content))
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


def verify(path: Path) -> Manifest:
    """Read all of the archive and compare it with its manifest.

    Raises:
        BackupError: it is damaged, cut, of a later format or none of ours.
    """
    return _read(path, None)


def extract(path: Path, folder: Path) -> Manifest:
    """Write the archive's files under `folder`, an empty one, and compare them with the manifest.

    Raises:
        BackupError: as of `verify`; what was written so far is to be thrown away.
    """
    return _read(path, folder)


class _Hashed:
    """A file that is read through, at most as much as it had at first, with the SHA-256 of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.hash.update(content)
        return content


def _add(tar: tarfile.TarFile, name: str, source: Path) -> Entry:
    with source.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        hashed = _Hashed(file)
        # Of a log that grows meanwhile so much is taken as there was when it was opened.
        tar.addfile(_member(name, size), hashed)
    return Entry(size, hashed.hash.hexdigest())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _read(path: Path, folder: Path | None) -> Manifest:
    found: dict[str, Entry] = {}
    manifest = None
    with _damage(path), pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd") as packed:
        with tarfile.open(fileobj=packed, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is None or not _is_plain(member.name):
                    raise BackupError(f"{path} is no backup of this platform: it holds {member.name!r}")
                if member.name == MANIFEST:
                    manifest = _manifest(path, content.read())
                else:
                    found[member.name] = _take(content, folder and folder / member.name)
        # What follows the end of the tar file is read too: a cut archive ends there.
        while packed.read(_CHUNK):
            pass
    if manifest is None:
        raise BackupError(f"{path} is no backup of this platform, or cut: it has no {MANIFEST}")
    if wrong := sorted(name for name in {*found, *manifest.files} if found.get(name) != manifest.files.get(name)):
        more = f" and {len(wrong) - 3:,} more" if len(wrong) > 3 else ""
        raise BackupError(f"{path} is damaged: {', '.join(wrong[:3])}{more} are not what its manifest says")
    return manifest


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise BackupError(f"there is no {path}") from None
    # pyarrow's errors are OSErrors; tarfile's, those of a stream that ends too early.
    except (tarfile.TarError, EOFError, pa.ArrowException, OSError) as error:
        raise BackupError(f"{path} is damaged or no backup of this platform: {error}") from error


def _manifest(path: Path, content: bytes) -> Manifest:
    try:
        found = orjson.loads(content)
        if found["format"] > FORMAT:
            raise BackupError(f"{path} is of format {found['format']}, this release reads {FORMAT}: take a newer one")
        files = {name: Entry(**entry) for name, entry in found.pop("files").items()}
        created_at = datetime.fromisoformat(found.pop("created_at"))
        return Manifest(**found, created_at=created_at, files=files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{path} is damaged: its {MANIFEST} cannot be read: {error}") from error


def _is_plain(name: str) -> bool:
    """Whether a name stays within the folder that it is written to."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts


def _take(content: IO[bytes], to: Path | None) -> Entry:
    """Hash a member's content and, where it goes somewhere, write it there."""
    hashed, size = hashlib.sha256(), 0
    if to:
        to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("xb") if to else Path(os.devnull).open("wb") as file:
        while chunk := content.read(_CHUNK):
            hashed.update(chunk)
            size += len(chunk)
            file.write(chunk)
    return Entry(size, hashed.hexdigest())
