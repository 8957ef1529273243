"""A home goes into an archive while it is used, and comes back only where nothing is lost by it."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from crypto_platform.alerting import store
from crypto_platform.backup import home
from crypto_platform.backup.archive import BackupError
from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.ingestion.spool import Message, Spool
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

DAY = date(2026, 1, 2)
MESSAGE = Message("crypto", "BTC/USD", b"{}", "stream", datetime(2026, 1, 2, tzinfo=UTC))


@pytest.fixture
def filled(fresh_settings: Settings) -> Settings:
    """A home with something of every part."""
    Lake(fresh_settings.lake).write_day(
        "crypto",
        "1Min",
        DAY,
        {"BTC/USD": Section(factories.OBSERVED, [factories.line("BTC/USD", factories.bar(0))])},
        "run",
    )
    (Path(fresh_settings.lake) / "crypto" / "1Min" / ".2026-01-03.jsonl.zst.1.tmp").write_bytes(b"half")
    with store.engine(fresh_settings).begin() as connection:
        connection.execute(store.cursors.insert().values(source="runs", cursor="7"))
    spool = Spool.open(fresh_settings)
    spool.put([MESSAGE])
    spool.close()
    runs = fresh_settings.crypto_platform_home / "dagster" / "history" / "runs.db"
    runs.parent.mkdir(parents=True)
    with closing(sqlite3.connect(runs)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE runs (id INTEGER)")
    for left_out in (
        "jars/kafka.jar",
        "sandbox/snowflake/databases/MARKET.db",
        "superset/secret_key",
        "stage/x.parquet",
    ):
        file = fresh_settings.crypto_platform_home / left_out
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return fresh_settings


def backed_up(settings: Settings, archive: Path) -> Path:
    home.create(settings, archive, dict, lambda *_: None)
    return archive


def other(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(update={"crypto_platform_home": folder})


def test_a_home_in_use_is_backed_up_and_another_has_the_same(filled: Settings, tmp_path: Path) -> None:
    runs = filled.crypto_platform_home / "dagster" / "history" / "runs.db"
    with closing(sqlite3.connect(runs)) as open_one:
        open_one.execute("INSERT INTO runs VALUES (1)")
        open_one.commit()
        # In the log beside the database, and never to be committed.
        open_one.execute("INSERT INTO runs VALUES (2)")
        archive = backed_up(filled, tmp_path / "one.tar.zst")
    restored = other(filled, tmp_path / "restored")
    manifest, aside = home.restore(restored, archive, replace=False)
    assert aside is None
    with closing(sqlite3.connect(restored.crypto_platform_home / "dagster" / "history" / "runs.db")) as database:
        assert database.execute("SELECT id FROM runs").fetchall() == [(1,)]
    assert Lake(restored.lake).read_day("crypto", "1Min", DAY) == Lake(filled.lake).read_day("crypto", "1Min", DAY)
    with store.engine(restored).connect() as connection:
        assert connection.execute(select(store.cursors.c.cursor)).scalars().all() == ["7"]
    spool = Spool.open(restored)
    assert [message for _, message in spool.after(0, 10)] == [MESSAGE]
    spool.close()
    # Nothing that is made again, is secret or was not finished.
    assert {name.partition("/")[0] for name in manifest.files} == {"alerts.db", "dagster", "lake", "stream"}
    assert not [name for name in manifest.files if name.endswith((".tmp", "-wal", "-shm"))]
    assert manifest.versions["crypto-platform"]
    assert not list(tmp_path.glob(".*"))


def test_a_home_that_has_something_is_kept_unless_it_is_to_be_replaced(filled: Settings, tmp_path: Path) -> None:
    archive = backed_up(filled, tmp_path / "one.tar.zst")
    with pytest.raises(BackupError, match=r"has dagster, alerts\.db, .*lake already.*--replace"):
        home.restore(filled, archive, replace=False)
    store.engine(filled).dispose()
    leftover = filled.crypto_platform_home / "alerts.db-wal"
    leftover.write_bytes(b"of a process that was killed")
    _, aside = home.restore(filled, archive, replace=True)
    assert aside is not None
    assert Lake(str(aside / "lake")).days("crypto", "1Min") == Lake(filled.lake).days("crypto", "1Min") == [DAY]
    assert (aside / "alerts.db-wal").exists()
    assert not leftover.exists()


def test_a_home_in_use_is_refused_with_who_uses_it(filled: Settings, tmp_path: Path) -> None:
    archive = backed_up(filled, tmp_path / "one.tar.zst")
    file = str(filled.crypto_platform_home / "alerts.db")
    holds = f"import sys; file = open({file!r}); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        with pytest.raises(BackupError, match=rf"in use by .*\(process {user.pid}\)"):
            home.restore(filled, archive, replace=True)
        user.communicate()


def test_a_damaged_archive_changes_nothing(filled: Settings, tmp_path: Path) -> None:
    archive = backed_up(filled, tmp_path / "one.tar.zst")
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(BackupError, match="damaged"):
        home.restore(filled, archive, replace=True)
    with pytest.raises(BackupError, match="damaged"):
        home.restore(other(filled, tmp_path / "new"), archive, replace=False)
    assert Lake(filled.lake).days("crypto", "1Min") == [DAY]
    assert list((tmp_path / "new").iterdir()) == []


def test_what_is_elsewhere_is_named_and_not_put_here(filled: Settings, tmp_path: Path) -> None:
    archive = backed_up(filled, tmp_path / "one.tar.zst")
    moved = other(filled, tmp_path / "new").model_copy(update={"lake_url": "s3://bucket/lake"})
    assert "lake" not in home.parts(moved)
    assert "LAKE_URL" in home.elsewhere(moved)["the lake"]
    with pytest.raises(BackupError, match="has lake, which these settings keep elsewhere"):
        home.restore(moved, archive, replace=False)


def test_an_empty_home_is_no_backup(fresh_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="nothing to back up"):
        backed_up(fresh_settings, tmp_path / "one.tar.zst")
    assert not (tmp_path / "one.tar.zst").exists()
