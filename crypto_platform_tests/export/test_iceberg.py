"""The Iceberg table as pyiceberg reads it."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from crypto_platform.export import tables
from crypto_platform.export.iceberg import export_iceberg
from crypto_platform.export.manifest import digest
from crypto_platform.export.request import ExportError, ExportReport, ExportRequest
from crypto_platform.failpoints import EXPORT_POINTS
from crypto_platform.research import MarketData
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.export.conftest import change
from crypto_platform_tests.export.folders import manifest

LOADED = "loaded_at = dateadd('second', 1, loaded_at)"
# What pyiceberg says of its own.
pytestmark = pytest.mark.filterwarnings("ignore")


def table(out: Path) -> Table:
    """As docs/how-to/export.md opens it."""
    return SqlCatalog("bars", uri=f"sqlite:///{out}/catalog.db", warehouse=f"file://{out}/warehouse").load_table(
        "market.bars"
    )


def read(out: Path, **more: Any) -> pa.Table:
    found = table(out).scan(**more).to_arrow().sort_by([("symbol", "ascending"), ("bar_start", "ascending")])
    return found.cast(pa.schema([field.with_nullable(True) for field in found.schema])).combine_chunks()


def check_whole(out: Path) -> dict[str, Any]:
    """The manifest, whose files are those of the table's last snapshot, and no file is beside the table's."""
    found = manifest(out)
    current = table(out)
    files = current.inspect.files().to_pydict()
    listed = {one["path"]: one for one in found["files"]}
    assert {path.removeprefix(f"file://{out}/") for path in files["file_path"]} == set(listed)
    for path, one in listed.items():
        assert digest(out / path) == one["sha256"]
    assert sum(files["record_count"]) == found["bars"]
    known = len(set(current.inspect.all_files()["file_path"].to_pylist()))
    assert len([file for file in (out / "warehouse").rglob("*") if file.suffix == ".parquet"]) == known
    assert not list(out.rglob(".part"))
    return found


def run(out: Path, settings: Settings, symbols: Any = ("AAPL",), timeframe: str = "1Day", **more: Any) -> ExportReport:
    return export_iceberg(ExportRequest(out, symbols, timeframe=timeframe, **more), settings)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "iceberg"


@pytest.mark.parametrize(
    ("symbols", "timeframe", "adjustment"), [(("BTC/USD",), "1Min", "raw"), (("AAPL", "SPY"), "15Min", "all")]
)
def test_the_table_has_what_the_marts_have(
    researched: Warehouse, out: Path, symbols: Any, timeframe: str, adjustment: Any
) -> None:
    report = run(out, researched.settings, symbols, timeframe, adjustment=adjustment)
    with MarketData(researched.settings) as market:
        expected = market.bars(symbols, "1998-01-01", "2027-01-01", timeframe, adjustment).combine_chunks()
    assert read(out).equals(expected)
    assert check_whole(out)["bars"] == report.bars == expected.num_rows
    march = "bar_start >= '2026-03-02T00:00:00+00:00' and bar_start < '2026-03-03T00:00:00+00:00'"
    assert read(out, row_filter=march).num_rows == (1440 if "BTC/USD" in symbols else 0)
    assert run(out, researched.settings, symbols, timeframe, adjustment=adjustment).written == 0
    assert len(table(out).snapshots()) == 1


def test_one_commit_has_what_has_changed(copied_marts: Callable[[], Settings], out: Path) -> None:
    settings = copied_marts()
    run(out, settings, ("AAPL", "BTC/USD"), feed=None)
    before = {one["path"] for one in manifest(out)["files"]}
    first = table(out).current_snapshot()
    change(
        settings,
        f"update MARTS.fct_bars_1d set close = 1, {LOADED} where bar_date = '2010-05-06' or feed = 'crypto'",
        "delete from MARTS.fct_bars_1d where year(bar_date) = 1998",
    )
    report = run(out, settings, ("AAPL", "BTC/USD"))
    assert (report.written, report.removed, report.unchanged) == (2, 1, 22)
    after = {one["path"] for one in check_whole(out)["files"]}
    assert len(before & after) == 22
    with MarketData(settings) as market:
        expected = market.bars(["AAPL", "BTC/USD"], "1990-01-01", "2027-01-01").combine_chunks()
    assert read(out).equals(expected)
    assert first is not None
    # What it was before is still there to be asked for.
    assert 1.0 not in read(out, snapshot_id=first.snapshot_id)["close"].to_pylist()


def test_symbols_and_months_add_up(researched: Warehouse, out: Path) -> None:
    run(out, researched.settings, ("AAPL",))
    report = run(out, researched.settings, ("SPY",))
    assert (report.written, report.unchanged) == (1, 24)
    assert set(read(out)["symbol"].to_pylist()) == {"AAPL", "SPY"}
    with pytest.raises(ExportError, match="adjustment is raw, not all"):
        run(out, researched.settings, ("SPY",), adjustment="all")
    check_whole(out)


@pytest.mark.parametrize("point", EXPORT_POINTS)
def test_killed_anywhere_it_leaves_a_whole_table(copied_marts: Callable[[], Settings], out: Path, point: str) -> None:
    settings = copied_marts()
    run(out, settings)
    before = read(out)
    change(settings, f"update MARTS.fct_bars_1d set close = 2, {LOADED}")
    environment = {**os.environ, **settings.environment(), "CRASH_AT": point}
    command = [sys.executable, "-m", "crypto_platform_tests.export.child", "iceberg", str(out)]
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    closes = set(read(out)["close"].to_pylist())
    assert (read(out).equals(before), closes == {2.0}) == ((False, True) if point == "after_swap" else (True, False))
    assert run(out, settings).written == 24
    check_whole(out)
    assert set(read(out)["close"].to_pylist()) == {2.0}


def test_the_first_export_may_be_killed_too(researched: Warehouse, out: Path) -> None:
    environment = {**os.environ, **researched.settings.environment(), "CRASH_AT": "during_export"}
    command = [sys.executable, "-m", "crypto_platform_tests.export.child", "iceberg", str(out)]
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    assert read(out).num_rows == manifest(out)["bars"] == 0
    assert run(out, researched.settings).written == 24
    check_whole(out)


def test_a_full_disk_leaves_the_last_table(
    copied_marts: Callable[[], Settings], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copied_marts()
    run(out, settings)
    before, held = read(out), check_whole(out)
    change(settings, f"update MARTS.fct_bars_1d set close = 2, {LOADED}")
    close, closed = tables.ParquetWriter.close, []

    def full(self: Any) -> None:
        closed.append(self)
        if len(closed) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        close(self)

    monkeypatch.setattr(tables.ParquetWriter, "close", full)
    with pytest.raises(ExportError, match="no room left"):
        run(out, settings)
    assert len(closed) == 3
    assert read(out).equals(before)
    assert check_whole(out) == held


def test_without_pyiceberg_it_says_what_to_install(
    researched: Warehouse, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog.sql", None)
    with pytest.raises(ExportError, match=r"crypto-platform\[iceberg\]"):
        run(out, researched.settings)
    assert not out.exists()
