"""Parquet and CSV as DuckDB, pandas and the platform itself read them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from crypto_platform.export.request import ExportRequest
from crypto_platform.export.run import export
from crypto_platform.export.tables import Csv, Parquet
from crypto_platform.research import MarketData
from crypto_platform.sandbox.alpaca.recordings import read_folder
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.export.folders import check_whole, manifest

ALL = ("1998-01-01", "2027-01-01")


@pytest.fixture(scope="module")
def minutes(researched: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """An export of Bitcoin's and Apple's quarter hours, and what it is of."""
    out = tmp_path_factory.mktemp("parquet") / "out"
    export(ExportRequest(out, ("AAPL", "BTC/USD"), timeframe="15Min"), Parquet(), researched.settings)
    with MarketData(researched.settings) as market:
        return out, market.bars(["AAPL", "BTC/USD"], *ALL, "15Min").to_pandas()


def test_pandas_reads_parquet(minutes: tuple[Path, pd.DataFrame]) -> None:
    out, expected = minutes
    found = pd.read_parquet(out / "bars", filters=[("month", "in", ["2025-06", "2026-03"])])
    found["symbol"] = found["symbol"].astype(str)
    found = found.sort_values(["symbol", "bar_start"], ignore_index=True)
    pd.testing.assert_frame_equal(found[list(expected)], expected)


def test_duckdb_reads_parquet(minutes: tuple[Path, pd.DataFrame]) -> None:
    out, expected = minutes
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        found = connection.sql(
            f"select {', '.join(expected)} from read_parquet('{out}/bars/**/*.parquet', hive_partitioning = true) "
            "order by symbol, bar_start"
        ).to_df()
        (files,) = connection.sql(
            f"select count(*) from (select distinct filename from '{out}/bars/*/month=2026-03/*.parquet')"
        ).fetchall()
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert files == (1,)


@pytest.mark.parametrize("gzip", [False, True])
def test_pandas_reads_csv(researched: Warehouse, tmp_path: Path, gzip: bool) -> None:
    request = ExportRequest(tmp_path / "out", ("AAPL",), adjustment="all", feed="us_equity_daily")
    export(request, Csv(gzip), researched.settings)
    files = [one["path"] for one in check_whole(request.out)["files"]]
    assert files[0] == ("bars/AAPL_1Day_1998.csv.gz" if gzip else "bars/AAPL_1Day_1998.csv")
    frames = [
        pd.read_csv(request.out / file, parse_dates=["timestamp"], float_precision="round_trip") for file in files
    ]
    found = pd.concat(frames, ignore_index=True).rename(columns={"timestamp": "bar_start"})
    with MarketData(researched.settings) as market:
        expected = market.bars("AAPL", *ALL, adjustment="all", feed="us_equity_daily").to_pandas()
    found["bar_start"] = found["bar_start"].astype("datetime64[us, UTC]")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=0, atol=0)


def test_the_platform_takes_csv_for_recordings(researched: Warehouse, tmp_path: Path) -> None:
    request = ExportRequest(tmp_path / "out", ("BTC/USD",), timeframe="1Min", end=datetime(2026, 3, 2, tzinfo=UTC))
    export(request, Csv(gzip=True), researched.settings)
    ((key, recording),) = read_folder(request.out / "bars").items()
    with MarketData(researched.settings) as market:
        expected = market.bars("BTC/USD", "2026-03-01", "2026-03-02", "1Min").to_pandas()
    assert (key[0], str(key[1])) == ("BTC/USD", "1Min")
    names = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "n": "trade_count", "vw": "vwap"}
    for field, name in names.items():
        assert recording.bars.columns[field].tolist() == expected[name].tolist(), name


@pytest.mark.parametrize("form", [Parquet(), Csv(gzip=True)], ids=["parquet", "csv"])
def test_the_same_bars_are_the_same_bytes(researched: Warehouse, tmp_path: Path, form: Any) -> None:
    for name in ("one", "two"):
        export(ExportRequest(tmp_path / name, ("SPY",), timeframe="1Hour"), form, researched.settings)
    one, two = (manifest(tmp_path / name) for name in ("one", "two"))
    assert one["files"] == two["files"]
