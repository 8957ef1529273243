"""The files to import: plain, gzip, or members of a zip; a cut or damaged one is named, whatever it is read with."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import cast

import pyarrow as pa

SUFFIXES = (".csv", ".txt", ".json", ".parquet", ".feather", ".gz", ".zip")
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_DAMAGES = (EOFError, OSError, zlib.error, zipfile.BadZipFile, pa.ArrowException, UnicodeDecodeError)


class RefusedError(ValueError):
    """A file is not imported; the message says why and what to do, and names the line where there is one."""


@dataclass(frozen=True)
class Source:
    """One file of bars; `member` is its name in the zip at `path`."""

    path: Path
    member: str = ""
    archive: zipfile.ZipFile | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The file's own name, in which vendors write symbol and timeframe."""
        return PurePath(self.member or self.path.name).name

    @property
    def stem(self) -> str:
        """The name without the suffixes of files."""
        stem = self.name
        while PurePath(stem).suffix.lower() in SUFFIXES:
            stem = PurePath(stem).stem
        return stem

    @property
    def folders(self) -> list[str]:
        """The names of the folders it lies in, in lower case, those in the zip too."""
        return [part.lower() for part in (*self.path.parent.parts, *PurePath(self.member).parent.parts)]

    @property
    def written_at(self) -> int:
        """When the file was last written: ns since the epoch."""
        return self.path.stat().st_mtime_ns

    @contextmanager
    def opened(self) -> Iterator[io.BufferedIOBase]:
        """Its bytes, decompressed as they are read."""
        if self.archive:
            with self.archive.open(self.member) as stream:
                yield cast(io.BufferedIOBase, stream)
            return
        with self.path.open("rb") as raw:
            if _begins(raw) != _GZIP:
                yield raw
                return
            with gzip.open(raw) as stream:
                yield cast(io.BufferedIOBase, stream)

    @contextmanager
    def seekable(self) -> Iterator[pa.NativeFile]:
        """Its bytes for formats that are read from their end; a zip's member is held in memory."""
        if self.archive:
            with self.opened() as stream:
                yield pa.BufferReader(stream.read())
        else:
            with pa.memory_map(str(self.path)) as mapped:
                yield mapped


def _begins(raw: io.BufferedIOBase) -> bytes:
    start = raw.read(2)
    raw.seek(0)
    return start


@contextmanager
def damage(source: object, place: Callable[[], str] = str) -> Iterator[None]:
    """What reading the source fails with, as a refusal; `place` says how far it was read.

    Raises:
        RefusedError: it is cut, damaged, encrypted or cannot be opened.
    """
    try:
        yield
    except FileNotFoundError:
        raise RefusedError(f"{source}: there is no such file") from None
    except PermissionError:
        raise RefusedError(f"{source}: no permission to read it") from None
    except _DAMAGES as error:
        raise RefusedError(f"{source}: cut or damaged{place()}: {_sentence(error)}: fetch it again") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile's, of a member that needs a password or a codec
        raise RefusedError(f"{source}: cannot be unpacked: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def sources(path: Path) -> Iterator[Source]:
    """The files at a path: itself, or the members of a zip that may hold bars, one at a time.

    Raises:
        RefusedError: the path is no file, or a zip that is cut or holds none.
    """
    with damage(path):
        with path.open("rb") as raw:
            start = raw.read(4)
        archive = zipfile.ZipFile(path) if start == _ZIP else None
    if archive is None:
        yield Source(path)
        return
    with archive:
        members = [info.filename for info in archive.infolist() if not info.is_dir() and _may_hold_bars(info.filename)]
        if not members:
            raise RefusedError(f"{path}: a zip without {', '.join(SUFFIXES[:5])}: nothing in it can be imported")
        for member in members:
            yield Source(path, member, archive)


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The paths, with those files of a folder for it that may hold bars, in the order of their names."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else None
        found += [path] if inside is None else [p for p in inside if _may_hold_bars(str(p.relative_to(path)))]
    return found


def _may_hold_bars(name: str) -> bool:
    parts = PurePath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not hidden and name.lower().endswith(SUFFIXES)
