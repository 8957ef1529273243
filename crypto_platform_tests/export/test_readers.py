"""Exports as the tools that they are for read them, each in the environment that `make export-readers` makes."""

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.tseries.offsets import DateOffset

from crypto_platform.export.iceberg import export_iceberg
from crypto_platform.export.nautilus import Nautilus
from crypto_platform.export.request import ExportError, ExportRequest
from crypto_platform.export.run import export
from crypto_platform.export.tables import Csv, Parquet
from crypto_platform.research import MarketData
from crypto_platform.settings import PROJECT_ROOT
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.export.folders import check_whole

PYTHON = PROJECT_ROOT / ".venv-export-readers" / "bin" / "python"
SCRIPT = Path(__file__).parent / "readers" / "read.py"
ASKED: Any = (["AAPL", "BTC/USD"], "1998-01-01", "2027-01-01", "1Hour", "all")

needs_readers = pytest.mark.skipif(
    not PYTHON.exists(), reason="there is no .venv-export-readers with the tools: `make export-readers` makes it"
)


def read(tool: str, folder: Path, tmp_path: Path) -> pd.DataFrame:
    result = tmp_path / "read.parquet"
    done = subprocess.run([PYTHON, SCRIPT, tool, folder, result], capture_output=True, text=True, check=False)
    if "No module named 'nautilus_trader'" in done.stderr:
        pytest.skip("NautilusTrader has no wheel for this Python: make the environment with 3.12 or 3.13")
    assert done.returncode == 0, done.stderr
    found = pd.read_parquet(result)
    found["bar_start"] = found["bar_start"].astype("datetime64[us, UTC]")
    return found.sort_values(["symbol", "bar_start"], ignore_index=True)


@pytest.fixture(scope="module")
def expected(researched: Warehouse) -> pd.DataFrame:
    with MarketData(researched.settings) as market:
        return market.bars(*ASKED).to_pandas()


@needs_readers
@pytest.mark.parametrize(
    ("tool", "write"),
    [
        ("duckdb", lambda request, settings: export(request, Parquet(), settings)),
        ("pandas", lambda request, settings: export(request, Parquet(), settings)),
        ("polars", lambda request, settings: export(request, Parquet(), settings)),
        ("pandas-csv", lambda request, settings: export(request, Csv(gzip=True), settings)),
        ("iceberg", export_iceberg),
    ],
)
def test_it_reads_what_the_marts_have(
    researched: Warehouse, expected: pd.DataFrame, tmp_path: Path, tool: str, write: Callable[..., object]
) -> None:
    out = tmp_path / "out"
    write(ExportRequest(out, ("AAPL", "BTC/USD"), timeframe="1Hour", adjustment="all"), researched.settings)
    found = read(tool, out, tmp_path)
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False, rtol=0, atol=0)


@needs_readers
@pytest.mark.parametrize(
    ("timeframe", "adjustment", "length"),
    [
        ("1Hour", "raw", timedelta(hours=1)),
        ("1Hour", "all", timedelta(hours=1)),
        ("1Day", "raw", None),
    ],
)
def test_nautilus_trades_on_what_the_marts_have(
    researched: Warehouse, tmp_path: Path, timeframe: str, adjustment: Any, length: timedelta | None
) -> None:
    out = tmp_path / "out"
    request = ExportRequest(out, ("AAPL", "BTC/USD"), timeframe=timeframe, adjustment=adjustment, feed=None)
    export(request, Nautilus(adjustment), researched.settings)
    paths = [one["path"] for one in check_whole(out)["attachments"]]
    assert [path.split("/")[1] for path in paths] == ["currency_pair", "equity"]
    with MarketData(researched.settings) as market:
        expected = market.bars(*ASKED[:3], timeframe, adjustment).to_pandas()
    found = read("nautilus", out, tmp_path)
    if length is None:
        zones = {"AAPL": "America/New_York", "BTC/USD": "UTC"}
        ends = [
            (row.bar_start.tz_convert(zones[row.symbol]) + DateOffset(days=1)).tz_convert("UTC")
            for row in expected.itertuples()
        ]
        expected["bar_start"] = pd.Series(ends).astype("datetime64[us, UTC]")
    else:
        expected["bar_start"] += length
    # Prices have nine decimals at the most, a stock's adjusted volume none.
    pd.testing.assert_frame_equal(found, expected[list(found)], check_dtype=False, rtol=1e-6, atol=0.5)
    prices = ["open", "high", "low", "close"]
    pd.testing.assert_frame_equal(found[prices], expected[prices], check_dtype=False, rtol=1e-9)


def test_more_decimals_than_the_catalog_keeps_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    from crypto_platform.export.formats import Partition

    start = datetime.fromisoformat("2026-03-02T15:00:00Z")
    values = {name: pa.array([0.00012345]) for name in ("open", "high", "low", "close", "volume")}
    bars = pa.RecordBatch.from_pydict({"bar_start": pa.array([start], pa.timestamp("us", "UTC")), **values})
    writer = Nautilus().writer(Partition("AAPL", "us_equity", "1Hour", 202603), tmp_path / "bars")
    with pytest.raises(
        ExportError, match=r"AAPL at 2026-03-02T15:00:00.* has open 0\.00012345, of which .* 4 decimals"
    ):
        writer.write(bars)
