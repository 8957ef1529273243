"""Files of bars as vendors write them, each by the vendor's documented layout, made of a frame of bars.

A frame has `timestamp` (start, UTC), `open`, `high`, `low`, `close`, `volume`, `trade_count`, `vwap`, ascending.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NEW_YORK = "America/New_York"
PRICES = ["open", "high", "low", "close"]


def epochs(bars: pd.DataFrame, unit: int) -> pd.Series:
    """Starts as numbers, `unit` of them in a second."""
    return bars.timestamp.astype("M8[ns, UTC]").astype("int64") // (10**9 // unit)


def zipped(path: Path, member: str, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return path


def csv(bars: pd.DataFrame, header: bool = False) -> str:
    return bars.to_csv(index=False, header=header)


def klines(bars: pd.DataFrame, unit: int, seconds: int) -> pd.DataFrame:
    starts = epochs(bars, unit)
    return pd.DataFrame(
        {
            "open_time": starts,
            **{name: bars[name] for name in (*PRICES, "volume")},
            "close_time": starts + seconds * unit - 1,
            "quote_volume": bars.volume * bars.vwap,
            "count": bars.trade_count,
            "taker_buy_volume": 0,
            "taker_buy_quote_volume": 0,
            "ignore": 0,
        }
    )


def binance_zip(bars: pd.DataFrame, folder: Path, unit: int = 10**6) -> Path:
    name = "BTCUSDT-1m-2026-03"
    return zipped(folder / f"{name}.zip", f"{name}.csv", csv(klines(bars, unit, 60)))


def binance_csv(bars: pd.DataFrame, folder: Path, header: bool, unit: int = 10**3) -> Path:
    path = folder / "BTCUSDT-1m-2026-03.csv"
    path.write_text(csv(klines(bars, unit, 60), header))
    return path


def kraken_csv(bars: pd.DataFrame, folder: Path, pair: str = "XBTUSD", minutes: int = 1) -> Path:
    path = folder / f"{pair}_{minutes}.csv"
    columns = {name: bars[name] for name in (*PRICES, "volume", "trade_count")}
    path.write_text(csv(pd.DataFrame({"time": epochs(bars, 1), **columns})))
    return path


def kraken_rest(bars: pd.DataFrame, folder: Path, pair: str = "XXBTZUSD") -> Path:
    """The newest bar is not complete, as in every answer."""
    rows = [
        [time, *(str(row[name]) for name in (*PRICES, "vwap", "volume")), int(row["trade_count"])]
        for time, row in zip(epochs(bars, 1).tolist(), bars.to_dict("records"), strict=True)
    ]
    path = folder / "ohlc.json"
    path.write_text(json.dumps({"error": [], "result": {pair: rows, "last": rows[-2][0]}}))
    return path


def coinbase(bars: pd.DataFrame, folder: Path) -> Path:
    columns = [epochs(bars, 1), *(bars[name] for name in ("low", "high", "open", "close", "volume"))]
    path = folder / "candles.json"
    path.write_text(json.dumps([list(row) for row in zip(*(c.tolist() for c in columns), strict=True)][::-1]))
    return path


def coinbase_advanced(bars: pd.DataFrame, folder: Path) -> Path:
    candles = [
        {"start": str(time), **{name: str(row[name]) for name in ("low", "high", "open", "close", "volume")}}
        for time, row in zip(epochs(bars, 1).tolist(), bars.to_dict("records"), strict=True)
    ]
    path = folder / "advanced.json"
    path.write_text(json.dumps({"candles": candles[::-1]}))
    return path


def ohlcv(bars: pd.DataFrame, path: Path, **options: Any) -> Path:
    columns = [epochs(bars, 1000), *(bars[name] for name in (*PRICES, "volume"))]
    path.write_text(json.dumps([list(row) for row in zip(*(c.tolist() for c in columns), strict=True)], **options))
    return path


def freqtrade_feather(bars: pd.DataFrame, folder: Path) -> Path:
    path = folder / "BTC_USDT-1m.feather"
    columns = bars.rename(columns={"timestamp": "date"})[["date", *PRICES, "volume"]]
    columns.reset_index(drop=True).to_feather(path, compression_level=9, compression="lz4")
    return path


def bar_set(bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """alpaca-py's `BarSet.df`."""
    frame = pd.concat([bars[symbol].assign(symbol=symbol) for symbol in bars])
    return frame.set_index(["symbol", "timestamp"])[[*PRICES, "volume", "trade_count", "vwap"]]


def lean_minutes(bars: pd.DataFrame, folder: Path, symbol: str, crypto: bool = False) -> list[Path]:
    """A zip a day."""
    local = bars.timestamp.dt.tz_convert("UTC" if crypto else NEW_YORK)
    paths = []
    for day, rows in bars.groupby(local.dt.strftime("%Y%m%d")):
        times = local[rows.index]
        clock = times.dt.tz_localize(None)
        milliseconds = (clock - clock.dt.normalize()).dt.total_seconds().astype(int) * 1000
        place = folder / ("crypto/coinbase" if crypto else "equity/usa") / "minute" / symbol
        member = f"{day}_{symbol}_minute_trade.csv"
        paths.append(zipped(place / f"{day}_trade.zip", member, csv(_lean(milliseconds, rows, crypto))))
    return paths


def lean_days(bars: pd.DataFrame, folder: Path, symbol: str, crypto: bool = False) -> Path:
    local = bars.timestamp.dt.tz_convert("UTC" if crypto else NEW_YORK)
    name = f"{symbol}_trade.zip" if crypto else f"{symbol}.zip"
    place = folder / ("crypto/coinbase" if crypto else "equity/usa") / "daily"
    return zipped(place / name, f"{symbol}.csv", csv(_lean(local.dt.strftime("%Y%m%d %H:%M"), bars, crypto)))


def _lean(times: pd.Series, bars: pd.DataFrame, crypto: bool) -> pd.DataFrame:
    prices = {name: bars[name] if crypto else (bars[name] * 10_000).round().astype("int64") for name in PRICES}
    return pd.DataFrame({"time": times, **prices, "volume": bars.volume if crypto else bars.volume.astype("int64")})


def yfinance_download(bars: Mapping[str, pd.DataFrame], folder: Path, times: str = "Date") -> Path:
    """`yf.download(tickers).to_csv()`: a symbol without a bar at a time has empty fields."""
    columns = {}
    for name in ("Close", "High", "Low", "Open", "Volume"):
        for ticker, frame in bars.items():
            index = (
                frame.timestamp.dt.tz_convert(NEW_YORK).dt.strftime("%Y-%m-%d") if times == "Date" else frame.timestamp
            )
            columns[name, ticker] = pd.Series(frame[name.lower()].to_numpy(), pd.Index(index, name=times))
    frame = pd.DataFrame(columns)
    frame.columns = pd.MultiIndex.from_tuples(frame.columns, names=["Price", "Ticker"])
    path = folder / "prices.csv"
    frame.to_csv(path)
    return path


def yfinance_history(bars: pd.DataFrame, folder: Path) -> Path:
    """`yf.Ticker(…).history().to_csv()`: midnights of New York with their offset."""
    frame = bars.rename(columns={name: name.title() for name in (*PRICES, "volume")})
    frame = frame.assign(Date=bars.timestamp.dt.tz_convert(NEW_YORK), **{"Dividends": 0.0, "Stock Splits": 0.0})
    path = folder / "history.csv"
    columns = ["Date", "Open", "High", "Low", "Close", "Volume", "Dividends", "Stock Splits"]
    frame[columns].to_csv(path, index=False)
    return path


def alpha_vantage_csv(
    bars: pd.DataFrame, path: Path, shift: timedelta = timedelta(), times: str = "%Y-%m-%d %H:%M:%S"
) -> Path:
    local = (bars.timestamp + np.timedelta64(shift)).dt.tz_convert(NEW_YORK).dt.strftime(times)
    columns = {"timestamp": local, **{name: bars[name] for name in (*PRICES, "volume")}}
    path.write_bytes(csv(pd.DataFrame(columns)[::-1], header=True).replace("\n", "\r\n").encode())
    return path


def alpha_vantage_json(bars: pd.DataFrame, path: Path, key: str, symbol: str, times: str = "%Y-%m-%d %H:%M:%S") -> Path:
    local = bars.timestamp.dt.tz_convert(NEW_YORK).dt.strftime(times)
    series = {
        time: {f"{n}. {name}": str(row[name]) for n, name in enumerate((*PRICES, "volume"), 1)}
        for time, row in zip(local, bars.to_dict("records"), strict=True)
    }
    meta = {
        "1. Information": "Intraday (5min) open, high, low, close prices and volume",
        "2. Symbol": symbol,
        "3. Last Refreshed": local.iloc[-1],
        "4. Interval": "5min",
        "5. Output Size": "Full size",
        "6. Time Zone": "US/Eastern",
    }
    path.write_text(json.dumps({"Meta Data": meta, key: dict(reversed(series.items()))}, indent=4))
    return path


def stooq_history(bars: pd.DataFrame, path: Path) -> Path:
    dates = bars.timestamp.dt.tz_convert(NEW_YORK).dt.strftime("%Y-%m-%d")
    columns = {name.title(): bars[name] for name in (*PRICES, "volume")}
    path.write_bytes(csv(pd.DataFrame({"Date": dates, **columns}), header=True).replace("\n", "\r\n").encode())
    return path


def stooq_database(bars: Mapping[str, pd.DataFrame], path: Path, period: str, zone: str = NEW_YORK) -> Path:
    parts = []
    for ticker, frame in bars.items():
        local = frame.timestamp.dt.tz_convert(zone)
        columns = {
            "<TICKER>": ticker,
            "<PER>": period,
            "<DATE>": local.dt.strftime("%Y%m%d"),
            "<TIME>": local.dt.strftime("%H%M%S"),
            **{f"<{name.upper()}>": frame[name] for name in PRICES},
            "<VOL>": frame.volume,
            "<OPENINT>": 0,
        }
        parts.append(pd.DataFrame(columns))
    path.write_text(csv(pd.concat(parts), header=True))
    return path


def as_bytes(frame: pd.DataFrame, kind: str) -> bytes:
    if kind == "csv":
        return frame.to_csv().encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()
