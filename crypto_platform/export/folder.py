"""A folder that is replaced as a whole: whoever looks at it, or ends the export anywhere, finds one export, old or new.

The new one is made in a folder beside it, of links to the files that stay and of new files, and the two change places.
"""

import ctypes
import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crypto_platform.export.request import ExportError
from crypto_platform.failpoints import reach
from crypto_platform.ingestion.locks import holding
from crypto_platform.settings import Settings

# Of renameat2(2) and of macOS's renameatx_np(2).
_AT_FDCWD, _EXCHANGE = (-2, 2) if sys.platform == "darwin" else (-100, 2)


@contextmanager
def exporting(settings: Settings, out: Path) -> Iterator[None]:
    """Be the only export into a folder on this machine; what a killed one left is cleared away.

    Raises:
        ExportError: another one is at work.
    """
    name = hashlib.sha256(os.fsencode(out)).hexdigest()[:16]
    with holding(settings, f"export.{name}") as mine:
        if not mine:
            raise ExportError(f"another export writes to {out}: wait for its end")
        _recover(out)
        yield


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder to make the new one in, which takes the place of `out` at the end of the block unless it raises.

    Raises:
        ExportError: there is no room, or the file system refuses.
    """
    staged = out.parent / f".{out.name}.exporting"
    try:
        with explaining(out):
            staged.mkdir(parents=True)
            yield staged
            reach("before_swap")
            _swap(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def explaining(out: Path) -> Iterator[None]:
    """Say what the file system refuses, in words.

    Raises:
        ExportError: there is no room, or the file system refuses.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError(
                f"there is no room left for {out}: make some and run it again; what was there is as it was"
            ) from error
        raise ExportError(f"{error.filename or out}: {error.strerror or error}; {out} is as it was") from error


def link(file: Path, into: Path) -> None:
    """Have the file in a folder of the same file system too, without a copy where it can."""
    into.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, into)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EXDEV):
            raise
        shutil.copy2(file, into)


def sync(file: Path) -> None:
    """Have a written file on disk before its name is."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _swap(staged: Path, out: Path) -> None:
    if not out.exists():
        staged.rename(out)
    elif not _exchange(staged, out):
        # Between the two the folder is not there; `_recover` puts it back.
        out.rename(_previous(out))
        staged.rename(out)
    reach("after_swap")
    shutil.rmtree(_previous(out), ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Two folders change places at once; False where the system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    name = "renameatx_np" if sys.platform == "darwin" else "renameat2"
    if not hasattr(libc, name):
        return False
    return getattr(libc, name)(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0


def _previous(out: Path) -> Path:
    return out.parent / f".{out.name}.previous"


def _recover(out: Path) -> None:
    """Clear away what a killed export left."""
    previous = _previous(out)
    if previous.exists() and not out.exists():
        previous.rename(out)
    for left in (previous, out.parent / f".{out.name}.exporting"):
        with suppress(FileNotFoundError):
            shutil.rmtree(left)
