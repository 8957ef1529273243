"""Every format: what a vendor's file has is what the sandbox's reader serves of the folder, bar for bar."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crypto_platform.importers.options import Options
from crypto_platform.importers.report import Report
from crypto_platform.importers.run import import_files
from crypto_platform.sandbox.alpaca.columns import MISSING_COUNT
from crypto_platform.sandbox.alpaca.recordings import read_folder
from crypto_platform_tests.importers import vendors

WIRE = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "n": "trade_count", "vw": "vwap"}
FIVE = ["open", "high", "low", "close", "volume"]
SEVEN = [*FIVE, "trade_count", "vwap"]


def served(folder: Path) -> dict[tuple[str, str], pd.DataFrame]:
    """What the sandbox reads of the folder, by symbol and timeframe; values that are nowhere have no column."""
    found = {}
    for (symbol, timeframe), recording in read_folder(folder).items():
        columns = recording.bars.columns
        frame = pd.DataFrame({WIRE[name]: columns[name] for name in WIRE if name in columns})
        frame = frame.replace({"trade_count": {MISSING_COUNT: np.nan}}).dropna(axis="columns", how="all")
        times = pd.to_datetime(recording.bars.times, utc=True)
        found[symbol, str(timeframe)] = frame.set_index(pd.DatetimeIndex(times, name="timestamp"))
    return found


def assert_served(folder: Path, expected: dict[tuple[str, str], pd.DataFrame], columns: list[str]) -> None:
    found = served(folder)
    assert found.keys() == expected.keys()
    for key, frame in expected.items():
        wanted = frame.set_index("timestamp")[columns]
        pd.testing.assert_frame_equal(found[key], wanted, check_exact=True, check_dtype=False, check_index_type=False)
        pd.testing.assert_series_equal(found[key].sum(), wanted.sum())


def imported(paths: Any, out: Path, **options: Any) -> Report:
    report = import_files(paths if isinstance(paths, list) else [paths], out, Options.of(**options))
    assert report.is_good, [(file.refused, file.rejected, file.examples) for file in report.files]
    for file in report.files:
        accounted = file.written + file.replaced + file.unchanged + file.duplicate + file.left_out.total()
        assert file.rows == accounted
    return report


def facts(report: Report, file: int = 0) -> dict[str, str]:
    return {name: str(fact.value) for name, fact in report.files[file].facts.items()}


COIN = [
    ("binance", vendors.binance_zip, {}, "BTC/USDT", [*FIVE, "trade_count"]),
    ("binance", lambda bars, at: vendors.binance_csv(bars, at, header=False), {}, "BTC/USDT", [*FIVE, "trade_count"]),
    ("binance", lambda bars, at: vendors.binance_csv(bars, at, header=True), {}, "BTC/USDT", [*FIVE, "trade_count"]),
    ("binance", lambda bars, at: vendors.binance_csv(bars, at, True, 10**6), {}, "BTC/USDT", [*FIVE, "trade_count"]),
    ("kraken", vendors.kraken_csv, {}, "BTC/USD", [*FIVE, "trade_count"]),
    ("coinbase", vendors.coinbase, {"symbol": ["BTC/USD"]}, "BTC/USD", FIVE),
    ("coinbase-advanced", vendors.coinbase_advanced, {"symbol": ["BTC/USD"]}, "BTC/USD", FIVE),
    ("freqtrade", vendors.freqtrade_feather, {}, "BTC/USDT", FIVE),
    ("freqtrade", lambda bars, at: vendors.ohlcv(bars, at / "BTC_USDT-1m.json"), {}, "BTC/USDT", FIVE),
    ("ccxt", lambda bars, at: vendors.ohlcv(bars, at / "b.json"), {"symbol": ["BTC/USDT"]}, "BTC/USDT", FIVE),
    ("ccxt", lambda bars, at: vendors.ohlcv(bars, at / "b.json", indent=1), {"symbol": ["BTCUSDT"]}, "BTC/USDT", FIVE),
    ("lean-crypto", lambda bars, at: vendors.lean_minutes(bars, at, "btcusd", crypto=True), {}, "BTC/USD", FIVE),
]


@pytest.mark.parametrize(("format", "write", "options", "symbol", "columns"), COIN)
def test_a_coins_minutes(
    btc: pd.DataFrame,
    tmp_path: Path,
    out: Path,
    format: str,
    write: Callable[..., Any],
    options: dict[str, Any],
    symbol: str,
    columns: list[str],
) -> None:
    report = imported(write(btc, tmp_path), out, **options)
    assert {file.format for file in report.files} == {format}
    assert facts(report)["timeframe"] == "1Min"
    assert_served(out, {(symbol, "1Min"): btc}, columns)


def test_of_krakens_answer_the_bar_that_is_not_complete_is_left_out(
    btc: pd.DataFrame, tmp_path: Path, out: Path
) -> None:
    report = imported(vendors.kraken_rest(btc, tmp_path), out)
    assert (report.files[0].written, report.files[0].left_out.total()) == (len(btc) - 1, 1)
    assert_served(out, {("BTC/USD", "1Min"): btc[:-1]}, SEVEN)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_dataframes_of_alpaca_py(spy: pd.DataFrame, tmp_path: Path, out: Path, kind: str) -> None:
    bars = {"SPY": spy, "BRK.B": spy[20:90].assign(volume=7.0)}
    path = tmp_path / f"bars.{kind}"
    path.write_bytes(vendors.as_bytes(vendors.bar_set(bars), kind))
    report = imported(path, out)
    assert facts(report)["timeframe"] == "15Min"
    assert_served(out, {(symbol, "15Min"): frame for symbol, frame in bars.items()}, SEVEN)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_alpaca_pys_days_of_one_symbol(aapl: pd.DataFrame, tmp_path: Path, out: Path, kind: str) -> None:
    path = tmp_path / f"bars.{kind}"
    path.write_bytes(vendors.as_bytes(vendors.bar_set({"AAPL": aapl}).loc["AAPL"], kind))
    imported(path, out, symbol=["AAPL"])
    assert_served(out, {("AAPL", "1Day"): aapl}, SEVEN)


def test_leans_equity_minutes_are_new_yorks_and_in_ten_thousandths(
    minutes: pd.DataFrame, tmp_path: Path, out: Path
) -> None:
    paths = vendors.lean_minutes(minutes, tmp_path, "brk.b")
    # New York's clocks change on the last of these days.
    assert len(paths) == 3
    imported(paths, out)
    assert_served(out, {("BRK.B", "1Min"): minutes}, FIVE)


def test_leans_days(aapl: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    imported(vendors.lean_days(aapl, tmp_path, "aapl"), out)
    assert_served(out, {("AAPL", "1Day"): aapl}, FIVE)


def test_leans_coin_days(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    days = btc[btc.timestamp.dt.strftime("%H:%M") == "00:00"]
    imported(vendors.lean_days(days, tmp_path, "btcusd", crypto=True), out)
    assert_served(out, {("BTC/USD", "1Day"): days}, FIVE)


def test_yfinances_download_of_several_tickers(aapl: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    bars = {"AAPL": aapl, "BRK-B": aapl[10:100].assign(close=lambda bars: bars.high)}
    report = imported(vendors.yfinance_download(bars, tmp_path), out)
    assert report.files[0].left_out == {"no prices": len(aapl) - 90}
    assert_served(out, {("AAPL", "1Day"): bars["AAPL"], ("BRK.B", "1Day"): bars["BRK-B"]}, FIVE)


def test_yfinances_quarters_of_an_hour(spy: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    report = imported(vendors.yfinance_download({"SPY": spy}, tmp_path, "Datetime"), out)
    assert "adjusted for splits" in report.files[0].notes[0]
    assert_served(out, {("SPY", "15Min"): spy}, FIVE)


def test_yfinances_history(aapl: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    imported(vendors.yfinance_history(aapl, tmp_path), out, symbol=["AAPL"])
    assert_served(out, {("AAPL", "1Day"): aapl}, FIVE)


def test_yfinances_days_of_a_coin_are_utcs(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    path = tmp_path / "btc.csv"
    rows = [f"2026-03-0{day},1,2,0.5,1.5,7,3" for day in (1, 2, 3, 4)]
    path.write_text("\n".join(["Date,Open,High,Low,Close,Adj Close,Volume", *rows]) + "\n")
    imported(path, out, symbol=["BTC/USD"])
    assert served(out)["BTC/USD", "1Day"].index[0] == pd.Timestamp("2026-03-01T00:00Z")


@pytest.mark.parametrize(("shift", "label"), [(timedelta(minutes=1), "end"), (timedelta(), "start")])
def test_alpha_vantages_minutes_are_labelled_as_their_first_and_last_say(
    minutes: pd.DataFrame, tmp_path: Path, out: Path, shift: timedelta, label: str
) -> None:
    report = imported(vendors.alpha_vantage_csv(minutes, tmp_path / "intraday_1min_IBM.csv", shift), out)
    assert facts(report)["label"] == label
    assert facts(report)["time zone"] == "America/New_York"
    assert_served(out, {("IBM", "1Min"): minutes}, FIVE)


def test_alpha_vantages_days(aapl: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    imported(vendors.alpha_vantage_csv(aapl, tmp_path / "daily_AAPL.csv", times="%Y-%m-%d"), out)
    assert_served(out, {("AAPL", "1Day"): aapl}, FIVE)


def test_alpha_vantages_json(minutes: pd.DataFrame, aapl: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    intraday = vendors.alpha_vantage_json(minutes, tmp_path / "a.json", "Time Series (1min)", "IBM")
    days = vendors.alpha_vantage_json(aapl, tmp_path / "b.json", "Time Series (Daily)", "AAPL", "%Y-%m-%d")
    imported([intraday, days], out)
    assert_served(out, {("IBM", "1Min"): minutes, ("AAPL", "1Day"): aapl}, FIVE)


def test_alpha_vantages_weeks_have_the_dates_of_their_last_sessions(tmp_path: Path, out: Path) -> None:
    weeks = {"2026-04-02": "Thursday, Good Friday follows", "2026-04-10": "Friday"}
    bar = {"1. open": "1", "2. high": "2", "3. low": "0.5", "4. close": "1.5", "5. volume": "3"}
    meta = {"1. Information": "Weekly Prices", "2. Symbol": "IBM", "4. Time Zone": "US/Eastern"}
    path = tmp_path / "weekly.json"
    path.write_text(pd.io.json.ujson_dumps({"Meta Data": meta, "Weekly Time Series": dict.fromkeys(weeks, bar)}))
    imported(path, out)
    mondays = served(out)["IBM", "1Week"].index.tz_convert("America/New_York")
    assert mondays.strftime("%A %Y-%m-%d %H:%M").tolist() == ["Monday 2026-03-30 00:00", "Monday 2026-04-06 00:00"]


def test_stooqs_history(aapl: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    imported(vendors.stooq_history(aapl, tmp_path / "brk-b_us_d.csv"), out)
    assert_served(out, {("BRK.B", "1Day"): aapl}, FIVE)


def test_stooqs_database(aapl: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    bars = {"AAPL.US": aapl, "BRK-B.US": aapl[5:50]}
    imported(vendors.stooq_database(bars, tmp_path / "data.txt", "D"), out)
    assert_served(out, {("AAPL", "1Day"): aapl, ("BRK.B", "1Day"): bars["BRK-B.US"]}, FIVE)


def test_stooqs_five_minutes_with_what_its_page_does_not_say(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    bars = btc[::5].reset_index(drop=True)
    ends = bars.assign(timestamp=bars.timestamp + np.timedelta64(5, "m"))
    path = vendors.stooq_database({"BTC.V": ends}, tmp_path / "btc.v.txt", "5", "Europe/Warsaw")
    imported(path, out, timezone="Europe/Warsaw", label="end")
    assert_served(out, {("BTC/USD", "5Min"): bars}, FIVE)


EXAMPLES = [
    # Binance's README.
    (
        "BNBUSDT-1m-2020-09.csv",
        "1601510340000,4.15070000,4.15870000,4.15060000,4.15540000,539.23000000,1601510399999,2240.39860900,13,"
        "401.82000000,1669.98121300,0\n",
        {},
        ("BNB/USDT", "1Min", "2020-09-30T23:59Z", [4.1507, 4.1587, 4.1506, 4.1554, 539.23, 13]),
    ),
    # Lean's Data/equity/readme.md: 4:15 in New York, deci-cents.
    (
        "20140605_aapl_minute_trade.csv",
        "15300000,6448000,6448000,6448000,6448000,90\n",
        {},
        ("AAPL", "1Min", "2014-06-05T08:15Z", [644.8, 644.8, 644.8, 644.8, 90]),
    ),
    # Lean's Data/crypto/readme.md.
    (
        "btcusd.csv",
        "20180101 08:00,40.10,45.99,40.05,45.50,209342\n",
        {"timeframe": "1h"},
        ("BTC/USD", "1Hour", "2018-01-01T08:00Z", [40.1, 45.99, 40.05, 45.5, 209342]),
    ),
    # ccxt's manual.
    (
        "btc.json",
        "[[1504541580000, 4235.4, 4240.6, 4230.0, 4230.7, 37.72941911]]",
        {"symbol": ["BTC/USDT"], "timeframe": "1m"},
        ("BTC/USDT", "1Min", "2017-09-04T16:13Z", [4235.4, 4240.6, 4230.0, 4230.7, 37.72941911]),
    ),
    # Kraken's reference: the second of the two is not complete.
    (
        "ohlc.json",
        '{"error":[],"result":{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1","3.39243896",23],'
        '[1688671260,"30304.5","30304.5","30300.0","30300.0","30300.0","4.42996871",18]],"last":1688671200}}',
        {"timeframe": "1Min"},
        ("BTC/USD", "1Min", "2023-07-06T19:20Z", [30306.1, 30306.2, 30305.7, 30305.7, 3.39243896, 23, 30306.1]),
    ),
]


@pytest.mark.parametrize(("name", "content", "options", "expected"), EXAMPLES)
def test_the_vendors_own_examples(
    tmp_path: Path,
    out: Path,
    name: str,
    content: str,
    options: dict[str, Any],
    expected: tuple[str, str, str, list[float]],
) -> None:
    (tmp_path / name).write_text(content)
    imported(tmp_path / name, out, **options)
    (((symbol, timeframe), bars),) = served(out).items()
    assert (symbol, timeframe, bars.index[0], bars.iloc[0].tolist()) == (
        *expected[:2],
        pd.Timestamp(expected[2]),
        expected[3],
    )
