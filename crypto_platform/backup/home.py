"""What of a home is backed up, and how it comes back.

The lake, Dagster's store, the alerts and the stream's spool, where they are on this machine: a lake in a bucket, and
what is in Postgres, have backups of their own kind (docs/how-to/backup.md). What can be made again is left out: jars,
dbt's folders, Parquet of loads in progress, the sandbox's data and Superset's.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import psutil
from fsspec.implementations.local import LocalFileSystem

from crypto_platform.backup.archive import BackupError, Manifest, extract, write
from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.ingestion import spool
from crypto_platform.settings import Settings

_SQLITE = b"SQLite format 3\0"
# SQLite's own beside a database; the copy has their content.
_OF_SQLITE = ("-wal", "-shm", "-journal")
_SHOWN = 5


def parts(settings: Settings) -> dict[str, Path]:
    """Where each part of the home is, by its name in the archive; those that are elsewhere are left out."""
    home = settings.crypto_platform_home
    found = {}
    # First what refers to the lake's days, then these: none that is referred to is missing.
    if not settings.dagster_postgres_url:
        found["dagster"] = (settings.dagster_home or home / "dagster").absolute()
    if not settings.alert_store_url:
        found["alerts.db"] = home / "alerts.db"
    found["alerts.log"] = home / "alerts.log"
    found["stream"] = spool.folder(settings)
    file_system, root = fsspec.core.url_to_fs(settings.lake)
    if isinstance(file_system, LocalFileSystem):
        found["lake"] = Path(root)
    return found


def elsewhere(settings: Settings) -> dict[str, str]:
    """What is not on this machine, with what backs it up."""
    found = {}
    if settings.dagster_postgres_url:
        found["Dagster's store"] = "Postgres, DAGSTER_POSTGRES_URL: pg_dump --format=custom"
    if settings.alert_store_url:
        found["the alerts"] = "the database of ALERT_STORE_URL: of Postgres, pg_dump --format=custom"
    if "lake" not in parts(settings):
        found["the lake"] = "the bucket of LAKE_URL: its versioning, and a copy in another region or account"
    return found


def in_use(settings: Settings) -> list[str]:
    """The other processes that have files of the home's parts, or of its sandbox, open; as far as this user may see."""
    # Compared as text: a machine has thousands of files open.
    folders = tuple(f"{folder}{os.sep}" for folder in [settings.crypto_platform_home, *parts(settings).values()])
    own = psutil.Process().pid
    found = []
    for process in psutil.process_iter(["pid", "name"]):
        if process.pid == own:
            continue
        with suppress(psutil.Error, OSError):
            if any(f"{file.path}{os.sep}".startswith(folders) for file in process.open_files()):
                found.append(f"{process.info['name']} (process {process.pid})")
    return found


def create(
    settings: Settings, archive: Path, ledgers: Callable[[], dict[str, Any]], tell: Callable[[str, int], None]
) -> Manifest:
    """Back the home up, which may be in use; databases are copied by SQLite's online backup.

    `ledgers` says what Snowflake holds, for the manifest; it is asked after Dagster's store and before the lake is
    read, so that the lake has at least what the ledgers had. `tell` is given each file's name and size once it is in.

    Raises:
        BackupError: there is such an archive already, or the home has nothing to back up.
        OSError, sqlite3.Error: a part cannot be read.
    """
    about: dict[str, Any] = {"parts": [], "elsewhere": elsewhere(settings)}
    archive.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=archive.parent, prefix=".backup-") as scratch:

        def files() -> Iterator[tuple[str, Path]]:
            for part, path in parts(settings).items():
                if part == "lake":
                    about["ledgers"] = ledgers()
                if path.exists():
                    about["parts"].append(part)
                    yield from _files(part, path, Path(scratch))
            if not about["parts"]:
                raise BackupError(f"{settings.crypto_platform_home} has nothing to back up: see CRYPTO_PLATFORM_HOME")
            about.setdefault("ledgers", {})

        return write(archive, files(), versions(), about, tell)


def restore(settings: Settings, archive: Path, replace: bool) -> tuple[Manifest, Path | None]:
    """Put the archive's parts into the home, after all of it was read and compared with its hashes.

    Returns the manifest and, with `replace`, the folder that what was there before was moved to.

    Raises:
        BackupError: the archive is damaged or does not suit the settings, the home is in use, or it has such parts
            already and they are not to be replaced; nothing was changed.
    """
    if users := in_use(settings):
        more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
        raise BackupError(
            f"{settings.crypto_platform_home} is in use by {', '.join(users[:_SHOWN])}{more}: end them "
            "(`crypto-platform down`), then restore again"
        )
    places = parts(settings)
    present = {part: path for part, path in places.items() if _holds_something(path)}
    if present and not replace:
        raise BackupError(
            f"{settings.crypto_platform_home} has {', '.join(present)} already: choose another CRYPTO_PLATFORM_HOME, "
            "or --replace, which moves them aside"
        )
    home = settings.crypto_platform_home
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home, prefix=".restore-") as scratch:
        manifest = extract(archive, Path(scratch))
        if unplaced := [part for part in manifest.about["parts"] if part not in places]:
            raise BackupError(
                f"{archive} has {', '.join(unplaced)}, which these settings keep elsewhere ({_names(settings)}): unset "
                "that for the restore, or bring it back there by its own means"
            )
        aside = _set_aside(home, present) if present else None
        for part in manifest.about["parts"]:
            path = places[part]
            # An empty folder may be there.
            if path.is_dir():
                path.rmdir()
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(scratch) / part, path)
    # Its dagster.yaml names the folder of before.
    dagster_home(settings)
    return manifest, aside


def versions() -> dict[str, str]:
    """What an archive is made by and for."""
    return {name: version(name) for name in ("crypto-platform", "dagster", "sqlalchemy")} | {
        "sqlite": sqlite3.sqlite_version
    }


def _files(part: str, path: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        # A file of the lake whose name begins with a dot is not finished.
        unfinished = file.name.endswith(".tmp") or (part == "lake" and file.name.startswith("."))
        if unfinished or file.name.endswith(_OF_SQLITE) or not file.is_file():
            continue
        name = part if file == path else f"{part}/{file.relative_to(path).as_posix()}"
        if _is_sqlite(file):
            copy = scratch / "copy.db"
            with closing(sqlite3.connect(file)) as database, closing(sqlite3.connect(copy)) as into:
                database.backup(into)
            yield name, copy
            copy.unlink()
        else:
            yield name, file


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_SQLITE)) == _SQLITE


def _holds_something(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _set_aside(home: Path, present: Mapping[str, Path]) -> Path:
    """Move the parts into a new folder of the home; returns it."""
    aside = home / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    aside.mkdir()
    for part, path in present.items():
        # With what a killed process left beside a database: another one's log would be taken for its own.
        for suffix in ("", *_OF_SQLITE):
            if (file := Path(f"{path}{suffix}")).exists():
                shutil.move(file, aside / f"{part}{suffix}")
    return aside


def _names(settings: Settings) -> str:
    return ", ".join(elsewhere(settings))
