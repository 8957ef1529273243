"""The same bars by other ways, which take them from the same API: no Kafka, no Spark, no ledger.

`python -m bench.other_tools TOOL SYMBOLS DAYS FOLDER` does it in a process of its own and prints the seconds taken.
The clock runs from the first request to the last row, without imports and without opening the destination.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any

from bench.long_range import BARS_A_DAY, FIRST_DAY
from bench.many_symbols import symbols
from bench.systems import BenchError, finish, start
from bench.usage import watching
from crypto_platform.settings import Settings, settings

START = datetime.combine(FIRST_DAY, clock.min, UTC)
KEYS = {"APCA-API-KEY-ID": "sandbox", "APCA-API-SECRET-KEY": "sandbox"}


def dlt_into_duckdb(count: int, days: int, folder: Path) -> tuple[float, int]:
    """dlt: the API's pages as they come, into a DuckDB file.

    By Parquet: dlt's default of INSERT statements takes seven times as long and gigabytes of memory.
    """
    import dlt
    import duckdb
    import requests

    def bars() -> Iterator[list[dict[str, Any]]]:
        query = {
            "symbols": ",".join(symbols(count)),
            "timeframe": "1Min",
            "start": START.isoformat(),
            "end": (START + timedelta(days=days, seconds=-1)).isoformat(),
            "limit": 10_000,
        }
        with requests.Session() as session:
            while True:
                answer = session.get(f"{settings().alpaca_url}/v1beta3/crypto/us/bars", params=query, headers=KEYS)
                answer.raise_for_status()
                page = answer.json()
                yield [{"symbol": symbol, **bar} for symbol, found in page["bars"].items() for bar in found]
                if not page["next_page_token"]:
                    return
                query["page_token"] = page["next_page_token"]

    file = str(folder / "bars.duckdb")
    pipeline = dlt.pipeline(
        "bars", destination=dlt.destinations.duckdb(file), dataset_name="raw", pipelines_dir=str(folder)
    )
    began = time.monotonic()
    pipeline.run(bars(), table_name="bars", loader_file_format="parquet")
    seconds = time.monotonic() - began
    with duckdb.connect(file) as connection:
        rows = connection.execute("select count(*) from raw.bars").fetchall()
    return seconds, int(rows[0][0])


def models_and_write_pandas(count: int, days: int, folder: Path) -> tuple[float, int]:
    """alpaca-py's models, their DataFrame, and write_pandas into the emulator, a symbol at a time.

    The emulator runs inside this process, which saves the way over HTTP: its server does not resolve the bound
    identifiers that write_pandas names its stage by.
    """
    import fakesnow
    from alpaca.data.historical import CryptoHistoricalDataClient
    from alpaca.data.requests import CryptoBarsRequest
    from alpaca.data.timeframe import TimeFrame

    client = CryptoHistoricalDataClient("sandbox", "sandbox", url_override=settings().alpaca_url)
    with fakesnow.patch(db_path=folder):
        from snowflake.connector import connect
        from snowflake.connector.pandas_tools import write_pandas

        connection = connect(database="MARKET", schema="BENCH")
        connection.cursor().execute(
            "CREATE TABLE BARS (SYMBOL VARCHAR, TIMESTAMP TIMESTAMP_TZ, OPEN FLOAT, HIGH FLOAT, LOW FLOAT, "
            "CLOSE FLOAT, VOLUME FLOAT, TRADE_COUNT FLOAT, VWAP FLOAT)"
        )
        began = time.monotonic()
        for symbol in symbols(count):
            request = CryptoBarsRequest(
                symbol_or_symbols=symbol,
                timeframe=TimeFrame.Minute,
                start=START,
                end=START + timedelta(days=days, seconds=-1),
            )
            frame = client.get_crypto_bars(request).df.reset_index()
            frame.columns = frame.columns.str.upper()
            write_pandas(connection, frame, "BARS", use_logical_type=True)
        seconds = time.monotonic() - began
        rows = connection.cursor().execute("SELECT count(*) FROM BARS").fetchall()
    return seconds, int(rows[0][0])


TOOLS: dict[str, Callable[[int, int, Path], tuple[float, int]]] = {
    "dlt → DuckDB": dlt_into_duckdb,
    "alpaca-py models → pandas → write_pandas": models_and_write_pandas,
}
# By how much ours is to be faster.
TARGET_RATIOS = {"dlt → DuckDB": 2.5, "alpaca-py models → pandas → write_pandas": 1.5}


def other_tool(name: str, chosen: Settings, symbols: int, days: int, runs: int) -> dict[str, Any]:
    """Run one of `TOOLS` over so many symbols and days, as often as there are runs: the one of median speed.

    Raises:
        BenchError: it failed, or wrote another number of bars.
    """
    folder = Path(chosen.crypto_platform_home) / "other-tools"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    output = folder / "output.log"
    expected = symbols * days * BARS_A_DAY
    measured = []
    for number in range(runs):
        own = folder / str(number)
        own.mkdir()
        command = [sys.executable, "-m", "bench.other_tools", name, str(symbols), str(days), str(own)]
        process = start(chosen, command, output)
        with watching({}, {"tool": process.pid}) as usage:
            printed = finish(process, output)
        seconds, bars = json.loads(printed.splitlines()[-1])
        if bars != expected:
            raise BenchError(f"{name} wrote {bars:,} of {expected:,} bars")
        shutil.rmtree(own)
        measured.append((seconds, usage["tool"].peak_rss, usage["tool"].cpu_seconds))
    seconds, peak_rss, cpu_seconds = sorted(measured)[runs // 2]
    return {
        "symbols": symbols,
        "days": days,
        "bars": expected,
        "seconds": seconds,
        "bars_per_second": expected / seconds,
        "peak_rss": peak_rss,
        "cpu_seconds": cpu_seconds,
        "target_ratio": TARGET_RATIOS[name],
    }


def main() -> None:
    name, count, days, folder = sys.argv[1:]
    print(json.dumps(TOOLS[name](int(count), int(days), Path(folder))))


if __name__ == "__main__":
    main()
