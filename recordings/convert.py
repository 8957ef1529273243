"""Make the recordings of this folder from their sources: `python recordings/convert.py SOURCES [TARGET]`.

SOURCES holds the source files under the names in SOURCES_OF. Every value is the source's own: it is written as the
float64 that its decimal text stands for, and read back and compared before the file counts as made. Prints a table
row for README.md per file.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import pandas as pd

BINANCE = "binance_spot_BTCUSDT_1m_2026-03-01_2026-05-31.csv.gz"
ALPACA = "alpaca_iex_{symbol}_15m_1d.json.gz"
LEAN = "lean_aapl_1d_raw.csv.gz"
COLUMNS = ["symbol", "timestamp", "open", "high", "low", "close", "volume", "trade_count", "vwap"]


def recordings(sources: Path) -> dict[str, pd.DataFrame]:
    """The recordings by file name, each with `symbol, timestamp (UTC), open, … ` and `timeframe`."""
    btc = pd.read_csv(sources / BINANCE, float_precision="round_trip")
    # Binance's pair is against the tether; it is replayed under Alpaca's name of the pair in dollars.
    found = {"BTC-USD_1Min.parquet": btc.assign(symbol="BTC/USD", timeframe="1Min")}
    for symbol in ("SPY", "AAPL", "NVDA"):
        with gzip.open(sources / ALPACA.format(symbol=symbol), "rt") as file:
            recorded = json.load(file)
        for key, timeframe in (("intraday_bars", "15Min"), ("daily_bars", "1Day")):
            found[f"{symbol}_{timeframe}.parquet"] = pd.DataFrame(recorded[key]).assign(timeframe=timeframe)
    lean = pd.read_csv(sources / LEAN, float_precision="round_trip")
    # The source has dates; Alpaca labels a stock's day by New York's midnight.
    midnights = pd.to_datetime(lean["date"]).dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    days = lean.assign(timestamp=midnights, volume=lean["volume"].astype("float64"), timeframe="1Day")
    found["AAPL_1Day_1998-2021.parquet"] = days
    for name, bars in found.items():
        times = pd.to_datetime(bars["timestamp"], utc=True, format="ISO8601")
        columns = [column for column in COLUMNS if column in bars] + ["timeframe"]
        found[name] = bars.assign(timestamp=times)[columns]
    return found


def main() -> None:
    sources = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent
    for name, bars in recordings(sources).items():
        path = target / name
        bars.to_parquet(
            path, compression="zstd", compression_level=19, use_dictionary=["symbol", "timeframe"], index=False
        )
        pd.testing.assert_frame_equal(pd.read_parquet(path), bars, check_exact=True)
        first, last = (f"{edge:%Y-%m-%dT%H:%MZ}" for edge in (bars.timestamp.min(), bars.timestamp.max()))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"| `{name}` | {len(bars):,} | {first} | {last} | `{digest}` |")


if __name__ == "__main__":
    main()
