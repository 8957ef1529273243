"""What an export writes again, refuses and leaves behind, in Parquet."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from crypto_platform.export import folder as folders_module
from crypto_platform.export import tables
from crypto_platform.export.folder import exporting
from crypto_platform.export.request import ExportError, ExportReport, ExportRequest
from crypto_platform.export.run import export
from crypto_platform.export.tables import Parquet
from crypto_platform.failpoints import EXPORT_POINTS
from crypto_platform.research import MarketData, UnknownNameError
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.export.conftest import change
from crypto_platform_tests.export.folders import check_whole, inodes, manifest
from crypto_platform_tests.research.known import FIRST, LATE

LOADED = "loaded_at = dateadd('second', 1, loaded_at)"
MARCH_2 = "bar_start >= '2026-03-02' and bar_start < '2026-03-03'"


@pytest.fixture
def settings(researched: Warehouse) -> Settings:
    return researched.settings


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "exports" / "out"


def run(
    out: Path, settings: Settings, symbols: Any = ("BTC/USD",), timeframe: str = "1Min", **more: Any
) -> ExportReport:
    return export(ExportRequest(out, symbols, timeframe=timeframe, **more), Parquet(), settings)


def read(out: Path) -> pa.Table:
    """All bars of a folder, as `MarketData.bars` has them."""
    table = ds.dataset(out / "bars", format="parquet", partitioning="hive").to_table()
    columns = ["symbol", "bar_start", *tables.VALUES]
    table = table.set_column(table.schema.get_field_index("symbol"), "symbol", table["symbol"].cast(pa.string()))
    return table.select(columns).sort_by([("symbol", "ascending"), ("bar_start", "ascending")]).combine_chunks()


def bars(settings: Settings, *asked: Any, **more: Any) -> pa.Table:
    with MarketData(settings) as market:
        return market.bars(*asked, **more).combine_chunks()


@pytest.mark.parametrize("as_of", [None, FIRST])
@pytest.mark.parametrize(
    ("symbols", "timeframe", "adjustment", "feed"),
    [
        (("BTC/USD",), "1Min", "raw", None),
        (("AAPL", "SPY"), "15Min", "all", None),
        (None, "1Day", "split", "us_equity_daily"),
    ],
)
def test_the_folder_has_what_the_marts_have(
    settings: Settings,
    out: Path,
    symbols: Any,
    timeframe: str,
    adjustment: Any,
    feed: str | None,
    as_of: datetime | None,
) -> None:
    report = run(out, settings, symbols, timeframe, adjustment=adjustment, feed=feed, as_of=as_of)
    expected = bars(settings, symbols, "1998-01-01", "2027-01-01", timeframe, adjustment, as_of, feed=feed)
    assert read(out).equals(expected)
    found = check_whole(out)
    assert found["bars"] == report.bars == report.bars_written == expected.num_rows
    assert (report.written, report.unchanged, report.removed) == (len(found["files"]), 0, 0)
    assert found["parameters"]["as_of"] == (FIRST.isoformat() if as_of else None)
    assert report.size == sum(one["bytes"] for one in found["files"])


def test_again_it_writes_nothing(settings: Settings, out: Path) -> None:
    run(out, settings)
    before = inodes(out)
    assert run(out, settings) == ExportReport(
        0, 1, 0, 0, 4320, (out / manifest(out)["files"][0]["path"]).stat().st_size
    )
    assert inodes(out) == before


def test_what_has_changed_is_written_again_and_the_rest_is_linked(
    copied_marts: Callable[[], Settings], out: Path
) -> None:
    settings = copied_marts()
    asked: Any = (("AAPL", "BTC/USD"), "1Day")
    run(out, settings, *asked)
    before = inodes(out)
    change(
        settings,
        f"update MARTS.fct_bars_1d set close = 1, {LOADED} where bar_date = '2010-05-06'",
        "delete from MARTS.fct_bars_1d where year(bar_date) = 1998",
    )
    report = run(out, settings, *asked)
    assert (report.written, report.removed, report.unchanged) == (1, 1, 23)
    after = inodes(out)
    rewritten, gone = "bars/symbol=AAPL/year=2010/bars.parquet", "bars/symbol=AAPL/year=1998/bars.parquet"
    assert before.keys() - after.keys() == {gone}
    assert {path for path in after if before[path] != after[path]} == {rewritten, "manifest.json"}
    check_whole(out)
    assert read(out).equals(bars(settings, *asked[:1], "1990-01-01", "2027-01-01"))


def test_a_new_factor_writes_adjusted_bars_again_and_no_raw_ones(
    copied_marts: Callable[[], Settings], tmp_path: Path
) -> None:
    settings = copied_marts()
    folders = {adjustment: tmp_path / adjustment for adjustment in ("raw", "split", "all")}
    for adjustment, out in folders.items():
        run(out, settings, ("AAPL",), "1Day", adjustment=adjustment, feed="us_equity_daily")
    dividend = "update MARTS.fct_day_factors set dividend_factor = dividend_factor * 0.99 where bar_date < '2003-01-01'"
    change(settings, dividend)
    written = {
        adjustment: run(out, settings, ("AAPL",), "1Day", adjustment=adjustment, feed="us_equity_daily").written
        for adjustment, out in folders.items()
    }
    assert written == {"raw": 0, "split": 0, "all": 5}


def test_a_folder_grows_by_symbols_and_times(settings: Settings, out: Path) -> None:
    day = [datetime(2026, 3, number, 6, tzinfo=UTC) for number in (1, 2, 3)]
    assert run(out, settings, start=day[1], end=day[2]).bars == 1440
    # What it has of the month stays, whatever is asked for.
    assert run(out, settings, start=day[2], end=day[2]).bars == 1440
    report = run(out, settings, start=day[0], end=day[1])
    assert (report.written, report.bars) == (1, 2880)
    assert read(out).equals(bars(settings, "BTC/USD", day[0], day[2], "1Min"))
    run(out.with_name("days"), settings, ("BTC/USD",), "1Day")
    assert run(out.with_name("days"), settings, ("SPY",), "1Day").unchanged == 1
    found = manifest(out.with_name("days"))
    assert list(found["ranges"]) == ["BTC/USD", "SPY"]
    assert {one["symbol"] for one in found["files"]} == {"BTC/USD", "SPY"}


def test_a_file_that_was_touched_is_written_again(settings: Settings, out: Path) -> None:
    run(out, settings)
    (file,) = (out / "bars").rglob("*.parquet")
    file.write_bytes(b"")
    assert run(out, settings).written == 1
    file.unlink()
    assert run(out, settings).written == 1
    check_whole(out)


def test_what_somebody_put_into_the_folder_stays(copied_marts: Callable[[], Settings], out: Path) -> None:
    settings = copied_marts()
    run(out, settings)
    (out / "bars" / "notes.txt").write_text("mine")
    change(settings, f"update MARTS.fct_bars set {LOADED} where feed = 'crypto'")
    assert run(out, settings).written == 1
    assert (out / "bars" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"timeframe": "1Hour"}, "timeframe is 1Min, not 1Hour"),
        ({"adjustment": "split"}, "adjustment is raw, not split"),
        ({"as_of": LATE}, "as_of is None, not 2026-06-03T12:00:00"),
        ({"feed": "crypto"}, "feed is None, not crypto"),
    ],
)
def test_a_folder_of_other_bars_is_left_alone(settings: Settings, out: Path, more: Any, says: str) -> None:
    run(out, settings)
    before = inodes(out)
    with pytest.raises(ExportError, match=f"{says}.*another folder"):
        run(out, settings, **more)
    assert inodes(out) == before
    check_whole(out)


def test_a_folder_that_is_no_export_is_left_alone(settings: Settings, out: Path) -> None:
    out.mkdir(parents=True)
    (out / "thesis.doc").write_text("years of work")
    with pytest.raises(ExportError, match="not empty and holds no export"):
        run(out, settings)
    (out / "manifest.json").write_text("{}")
    with pytest.raises(ExportError, match=r"manifest.json cannot be read"):
        run(out, settings)
    (out / "manifest.json").write_text('{"layout": 99}')
    with pytest.raises(ExportError, match="layout 99"):
        run(out, settings)
    assert (out / "thesis.doc").read_text() == "years of work"
    with pytest.raises(ExportError, match="is a file"):
        run(out / "thesis.doc", settings)


def test_an_unknown_symbol_leaves_nothing(settings: Settings, out: Path) -> None:
    with pytest.raises(UnknownNameError, match="AAPL"):
        run(out, settings, ("AAPPL",), "1Day")
    assert not out.exists()


def test_one_export_at_a_time(settings: Settings, out: Path) -> None:
    with exporting(settings, out.resolve()), pytest.raises(ExportError, match="another export"):
        run(out, settings)
    assert run(out, settings).written == 1


def test_a_full_disk_leaves_the_last_export(
    copied_marts: Callable[[], Settings], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copied_marts()
    run(out, settings, ("AAPL",), "1Day")
    before, held = inodes(out), check_whole(out)
    change(settings, f"update MARTS.fct_bars_1d set close = 2, {LOADED}")
    close, closed = tables.ParquetWriter.close, []

    def full(self: Any) -> None:
        closed.append(self)
        if len(closed) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        close(self)

    monkeypatch.setattr(tables.ParquetWriter, "close", full)
    with pytest.raises(ExportError, match="no room left"):
        run(out, settings, ("AAPL",), "1Day")
    assert len(closed) == 3
    assert (inodes(out), check_whole(out)) == (before, held)
    monkeypatch.undo()
    assert run(out, settings, ("AAPL",), "1Day").written == len(held["files"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system that is full soon")
def test_a_disk_that_is_full_for_once(settings: Settings, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine mounts nothing, not even for root")
    try:
        out = disk / "out"
        run(out, settings, ("SPY",), "1Day")
        held = check_whole(out)
        with pytest.raises(ExportError, match="no room left"):
            run(out, settings, ("AAPL",), "1Day")
        assert check_whole(out) == held
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize("point", EXPORT_POINTS)
def test_killed_anywhere_it_leaves_a_whole_export(
    copied_marts: Callable[[], Settings],
    out: Path,
    point: str,
) -> None:
    settings = copied_marts()
    run(out, settings, timeframe="1Hour")
    before = inodes(out)
    change(settings, f"update MARTS.fct_bars_1h set close = 2, {LOADED}")
    environment = {**os.environ, **settings.environment(), "CRASH_AT": point}
    command = [sys.executable, "-m", "crypto_platform_tests.export.child", "parquet", str(out)]
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    assert (inodes(out) == before) == (point != "after_swap")
    left = [file.name for file in out.parent.iterdir() if file != out]
    assert left == [".out.exporting"]
    report = run(out, settings, timeframe="1Hour")
    assert report.written == (0 if point == "after_swap" else 1)
    check_whole(out)
    assert read(out)["close"].unique().to_pylist() == [2.0]


def test_where_folders_cannot_change_places_the_old_one_is_put_back(
    copied_marts: Callable[[], Settings], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copied_marts()
    monkeypatch.setattr(folders_module, "_exchange", lambda one, other: False)
    run(out, settings)
    before = inodes(out)
    change(settings, f"update MARTS.fct_bars set {LOADED} where feed = 'crypto'")
    # As a process leaves it that is killed between the two renames.
    out.rename(out.parent / ".out.previous")
    with exporting(settings, out.resolve()):
        assert inodes(out) == before
    assert run(out, settings).written == 1
    check_whole(out)


def test_a_build_meanwhile_is_noticed(
    copied_marts: Callable[[], Settings], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copied_marts()
    run(out, settings)
    held = check_whole(out)
    change(settings, f"update MARTS.fct_bars set {LOADED} where feed = 'crypto'")
    batches = MarketData.bar_batches

    def after_a_build(*asked: Any, **more: Any) -> Any:
        change(settings, f"delete from MARTS.fct_bars where feed = 'crypto' and {MARCH_2}")
        return batches(*asked, **more)

    monkeypatch.setattr(MarketData, "bar_batches", after_a_build)
    with pytest.raises(ExportError, match="built while they were read"):
        run(out, settings)
    assert check_whole(out) == held
