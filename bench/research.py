"""Bars read into Arrow tables: `MarketData` beside DuckDB on a Parquet file of the same bars, and beside ArcticDB."""

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.long_range import FIRST_DAY
from bench.systems import BenchError
from crypto_platform.research import MarketData
from crypto_platform.settings import Settings

# To DuckDB's own time for the same rows in the same order.
TARGET_RATIO = 2.0
OURS, OURS_UNSORTED, KNOWN = "MarketData", "MarketData, unsorted", "MarketData, as of a moment"
DUCKDB, DUCKDB_UNSORTED, ARCTIC = "DuckDB", "DuckDB, unsorted", "ArcticDB"


def research(settings: Settings, days: int, runs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of each reader of the year's bars, medians of the runs, each all of them in turn, after a warm-up.

    Raises:
        BenchError: two of them did not read the same.
    """
    folder = Path(settings.crypto_platform_home) / "research"
    folder.mkdir()
    seconds: dict[str, list[float]] = defaultdict(list)
    with MarketData(settings) as market:
        readers = {**_ours(market, days), **_duckdb(folder / "bars.parquet")}
        expected = readers[OURS]()
        pq.write_table(expected, folder / "bars.parquet")
        if arctic := _arcticdb(folder, expected, tell):
            readers[ARCTIC] = arctic
        for number in range(runs + 1):
            tell(f"research: reading, {number} of {runs}")
            for name, read in readers.items():
                began = time.monotonic()
                table = read()
                taken = time.monotonic() - began
                _check(name, table, expected)
                del table
                if number:
                    seconds[name].append(taken)
    medians = {name: median(taken) for name, taken in seconds.items()}
    return {
        "bars": expected.num_rows,
        "runs": runs,
        "seconds": medians,
        "sorted_ratio": medians[OURS] / medians[DUCKDB],
        "unsorted_ratio": medians[OURS_UNSORTED] / medians[DUCKDB_UNSORTED],
        "target_ratio": TARGET_RATIO,
    }


def _ours(market: MarketData, days: int) -> dict[str, Callable[[], pa.Table]]:
    asked: Any = (None, FIRST_DAY, FIRST_DAY + timedelta(days=days), "1Min")
    now = datetime.now(UTC)
    return {
        OURS: lambda: market.bars(*asked, feed="crypto"),
        OURS_UNSORTED: lambda: market.bars(*asked, feed="crypto", sort=False),
        KNOWN: lambda: market.bars(*asked, feed="crypto", as_of=now),
    }


def _duckdb(file: Path) -> dict[str, Callable[[], pa.Table]]:
    import duckdb

    def read(order: str) -> pa.Table:
        with duckdb.connect() as connection:
            return connection.sql(f"select * from '{file}'{order}").to_arrow_table()

    return {DUCKDB: lambda: read(" order by symbol, bar_start"), DUCKDB_UNSORTED: lambda: read("")}


def _arcticdb(folder: Path, bars: pa.Table, tell: Callable[[str], None]) -> Callable[[], pa.Table] | None:
    """A reader of an ArcticDB library on disk with the same bars, a symbol each; None where it is not installed."""
    try:
        from arcticdb import Arctic
    except ImportError:
        tell("research: ArcticDB is left out; `.venv/bin/pip install arcticdb` puts it beside, where it has a wheel")
        return None
    library = Arctic(f"lmdb://{folder / 'arctic'}?map_size=20GB").create_library("bars")
    symbols = bars["symbol"].unique().to_pylist()
    for symbol in symbols:
        frame = bars.filter(pa.compute.equal(bars["symbol"], symbol)).drop_columns("symbol").to_pandas()
        library.write(symbol, frame.set_index("bar_start"))

    def read() -> pa.Table:
        found = library.read_batch(symbols, output_format="PYARROW")
        return pa.concat_tables(one.data for one in found)

    return read


def _check(name: str, table: pa.Table, expected: pa.Table) -> None:
    same = table.num_rows == expected.num_rows
    if name in (OURS, KNOWN):
        same = table.equals(expected)
    elif same:
        total, wanted = (pa.compute.sum(bars["volume"]).as_py() for bars in (table, expected))
        same = abs(total - wanted) <= 1e-9 * abs(wanted)
    if not same:
        raise BenchError(f"{name} read {table.num_rows:,} bars, which are not the {expected.num_rows:,} of the marts")
