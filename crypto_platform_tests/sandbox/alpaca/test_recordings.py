"""Recordings of any origin: what is read, and what a bad file is told."""

import gzip
import hashlib
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.sandbox.alpaca.columns import to_dicts
from crypto_platform.sandbox.alpaca.exchanges import ALIASES, NOT_A_TIME, times
from crypto_platform.sandbox.alpaca.recordings import (
    Recorded,
    RecordingError,
    read_folder,
    symbol_of,
    timeframe_in_name,
    timeframe_of,
)
from crypto_platform.sandbox.alpaca.timeframes import ONE_MINUTE, Timeframe
from crypto_platform_tests.sandbox.alpaca.conftest import RECORDINGS

HEADER = "symbol,timestamp,open,high,low,close,volume"
ROW = "BTC/USD,2026-03-01T00:00:00Z,1,2,0.5,1.5,3"

numbers = st.floats(1e-9, 1e12, allow_nan=False)


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.lists(numbers, min_size=5, max_size=5),
            st.none() | st.integers(0, 10**9),
            st.none() | numbers,
            st.integers(-14 * 60, 14 * 60),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[0],
    ),
    order=st.permutations(["symbol", "timestamp", "open", "high", "low", "close", "volume", "trade_count", "vwap"]),
    kind=st.sampled_from(["csv", "csv.gz", "parquet"]),
)
def test_what_is_written_is_read(rows, order, kind) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    frame = pd.DataFrame(
        {
            "symbol": "BTCUSDT",
            "timestamp": (start + timedelta(minutes=minute)).astimezone(timezone(timedelta(minutes=zone))).isoformat(),
            **dict(zip(("open", "high", "low", "close", "volume"), values, strict=True)),
            "trade_count": count,
            "vwap": vwap,
        }
        for minute, values, count, vwap, zone in rows
    ).astype({"trade_count": "Int64", "vwap": float})[order]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / f"some_1m.{kind}"
        path.parent.mkdir()
        if kind == "parquet":
            frame.to_parquet(path)
        else:
            text = frame.to_csv(index=False)
            path.write_bytes(gzip.compress(text.encode()) if kind == "csv.gz" else text.encode())
        bars = read_folder(Path(folder))["BTC/USDT", ONE_MINUTE].bars
    for bar, (minute, values, count, vwap, _) in zip(to_dicts(bars), sorted(rows), strict=True):
        moment = (start + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
        expected = {"t": moment, **dict(zip("ohlcv", values, strict=True))}
        expected |= {} if count is None else {"n": count}
        expected |= {} if vwap is None else {"vw": vwap}
        assert bar == expected


@pytest.mark.parametrize(
    ("text", "symbol", "asset_class"),
    [
        ("BTC/USD", "BTC/USD", "crypto"),
        ("BTCUSDT", "BTC/USDT", "crypto"),
        ("ETHBTC", "ETH/BTC", "crypto"),
        ("SHIBUSD", "SHIB/USD", "crypto"),
        ("1INCHUSDC", "1INCH/USDC", "crypto"),
        ("AAPL", "AAPL", "us_equity"),
        ("BRK.B", "BRK.B", "us_equity"),
        ("FUSD", "FUSD", "us_equity"),
    ],
)
def test_symbols(text: str, symbol: str, asset_class: str) -> None:
    assert symbol_of(text) == (symbol, asset_class)


@given(st.text(max_size=12))
def test_no_other_text_becomes_a_symbol(text: str) -> None:
    try:
        symbol, asset_class = symbol_of(text)
    except ValueError:
        return
    pattern = r"[A-Z0-9]{2,10}/[A-Z0-9]{2,10}" if asset_class == "crypto" else r"[A-Z]{1,6}(\.[A-Z]{1,3})?"
    assert re.fullmatch(pattern, symbol)


@pytest.mark.parametrize(
    ("text", "timeframe"),
    [
        *(("1m", "1Min"), ("1Min", "1Min"), ("15m", "15Min"), ("60m", "1Hour"), ("1h", "1Hour")),
        *(("4H", "4Hour"), ("1d", "1Day"), ("24h", "1Day"), ("1440m", "1Day"), ("1Day", "1Day")),
        *(("1w", "1Week"), ("1mo", "1Month"), ("3Month", "3Month")),
    ],
)
def test_timeframes(text: str, timeframe: str) -> None:
    assert str(timeframe_of(text)) == timeframe
    assert str(timeframe_in_name(Path(f"venue_BTC_{text}_2026-03-01.csv.gz"))) == timeframe


@pytest.mark.parametrize(
    ("name", "lines", "told"),
    [
        ("a_1m.csv", [HEADER, ROW, ROW.replace("1.5", "high")], "a_1m.csv, line 3: close is 'high': write a number"),
        ("a_1m.csv", [HEADER, ROW.replace(",2,", ",nan,")], "a_1m.csv, line 2: high is 'nan': write a finite number"),
        ("a_1m.csv", [HEADER, ROW.replace(",2,", ",,")], "a_1m.csv, line 2: high is None: write a finite number"),
        ("a_1m.csv", [HEADER, ROW.replace("2026-03-01T00:00:00Z", "03/01/2026 00:00")], "line 2: timestamp is '03/01"),
        ("a_1m.csv", [HEADER, ROW, ROW.replace("2026-03-01T00:00:00Z", "17356894800")], "line 3: timestamp is '17356"),
        ("a_1m.csv", [HEADER, ROW.replace("2026-03-01T00:00:00Z", "1735689480.5")], "whole seconds, ms, µs or ns"),
        ("a_1m.csv", [HEADER, ROW.replace("2026-03-01T00:00:00Z", "202603010000")], "line 2: timestamp is '2026030"),
        ("a_1m.csv", [HEADER, ROW.replace("2026-03-01T00:00:00Z", "1.7e12")], "line 2: timestamp is '1.7e12'"),
        ("a_1m.csv", [HEADER.replace("timestamp", "date") + ",time", ROW + ",0:00"], "`date` and `time` may each be"),
        ("a_1m.csv", [HEADER, ROW.replace("2026", "soon")], "line 2: timestamp is 'soon-03-01.*write ISO 8601"),
        ("a_1m.csv", [HEADER, ROW, ROW.replace("BTC", "btc")], "line 3: 'btc/USD' is not a symbol: write BTC/USD"),
        ("a_1m.csv", [HEADER, ROW[ROW.index(",") :]], "line 2: no symbol: fill it in"),
        ("a_1m.csv", [HEADER.replace("low", "bottom"), ROW], "no column low .it has symbol,.*: add it"),
        ("a_1m.csv", [HEADER.replace("low", "high"), ROW], "the column `high` is there twice"),
        ("a_1m.csv", [HEADER, ROW, ROW + ",7,8"], "a_1m.csv: not readable as CSV.*Expected 7 columns, got 9"),
        ("a_1m.csv", [HEADER + ",trade_count", ROW + ",1.5"], "line 2: trade_count is '1.5': write a whole number"),
        ("a_1m.csv", [HEADER + ",timeframe", ROW + ",7x"], "line 2: '7x' is not a timeframe"),
        ("a_1m_1h.csv", [HEADER, ROW], "the name holds 1Hour and 1Min: leave one"),
        ("a.csv", [HEADER, ROW], "which timeframe are its bars of.*as in BTC-USD_1Min.csv"),
        ("a_1m.parquet", ["no parquet"], "a_1m.parquet: not readable as Parquet"),
        ("a_1m.txt", [HEADER, ROW], "no recording in it: put .csv, .csv.gz, .parquet files there"),
    ],
)
def test_a_bad_file_is_named_with_its_row_and_the_mend(tmp_path: Path, name: str, lines: list, told: str) -> None:
    write(tmp_path, name, *lines)
    with pytest.raises(RecordingError, match=told):
        read_folder(tmp_path)


MOMENTS = st.integers(315_532_800, 1_767_225_600).map(lambda second: datetime.fromtimestamp(second, UTC))
UNITS = (1, 10**3, 10**6, 10**9)


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


@given(st.lists(st.tuples(MOMENTS, st.sampled_from((*UNITS, None))), min_size=1, max_size=20), st.booleans())
def test_epoch_numbers_are_of_the_unit_of_their_size_each_by_itself(rows, pointed) -> None:
    texts = [at.isoformat() if unit is None else f"{int(at.timestamp()) * unit}{'.0' * pointed}" for at, unit in rows]
    assert times(pa.array(texts)).tolist() == [ns(at) for at, _ in rows]
    numbers = [int(at.timestamp()) * (unit or 1) for at, unit in rows]
    for kind in (pa.int64(), pa.uint64(), pa.float64()):
        assert times(pa.array(numbers).cast(kind, safe=False)).tolist() == [ns(at) for at, _ in rows]


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_number_is_a_time_in_one_unit_or_in_none(number: int) -> None:
    latest = datetime.now(UTC) + timedelta(days=1)
    units = [unit for unit in UNITS if datetime(1980, 1, 1, tzinfo=UTC).timestamp() * unit <= number]
    units = [unit for unit in units if number <= latest.timestamp() * unit]
    expected = [number * (10**9 // unit) for unit in units] or [NOT_A_TIME]
    assert times(pa.array([number])).tolist() == expected


@given(st.text() | st.from_regex(r"[+-]?[0-9.eE]{1,25}", fullmatch=True))
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert len(times(pa.array([text]))) == 1


def test_milliseconds_of_2024_and_microseconds_of_2025_in_one_file(cases: Path) -> None:
    bars = read_folder(cases / "epoch-timestamps")["BTC/USD", ONE_MINUTE].bars
    days = {day: bars.between(ns(day), ns(day + timedelta(days=1)) - 1) for day in (LAST_OF_2024, FIRST_OF_2025)}
    assert {day: (len(found), sum(found.columns["v"])) for day, found in days.items()} == {
        LAST_OF_2024: (2, 4.0),
        FIRST_OF_2025: (2, 7.0),
    }


LAST_OF_2024, FIRST_OF_2025 = datetime(2024, 12, 31, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (
            "symbol,open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,ignore",
            "BTCUSDT,1772323200000,1,2,0.5,1.5,3,1772323259999,4,7,1,0",
        ),
        ("Symbol,Open time,Open,High,Low,Close,Volume,Number of trades", "BTC/USDT,1772323200000000,1,2,0.5,1.5,3,7"),
        ("pair,time,open,high,low,close,volume,trades", "BTC/USDT,1772323200,1,2,0.5,1.5,3,7"),
        ("symbol,timestamp,datetime,open,high,low,close,volume,trades", "BTC/USDT,1772323200000,x,1,2,0.5,1.5,3,7"),
    ],
)
def test_the_headers_of_exchanges_are_known(tmp_path: Path, header: str, row: str) -> None:
    write(tmp_path, "bars_1m.csv", header, row)
    (bar,) = to_dicts(read_folder(tmp_path)["BTC/USDT", ONE_MINUTE].bars)
    assert bar == {"t": "2026-03-01T00:00:00Z", "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 3, "n": 7}


def test_the_readme_lists_every_name_that_a_column_may_have() -> None:
    readme = (RECORDINGS / "README.md").read_text()
    for name, aliases in ALIASES.items():
        (told,) = re.findall(rf"^\| `{name}` \| (.*?) \|", readme, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", told)) == set(aliases)


def test_equal_rows_of_two_files_are_one_and_differing_ones_an_error(tmp_path: Path) -> None:
    other = ROW.replace("00:00:00", "00:01:00")
    write(tmp_path, "one_1m.csv", HEADER, ROW, other)
    write(tmp_path, "two_1Min.csv", HEADER, ROW.replace("0Z", "0+00:00"))
    assert len(read_folder(tmp_path)["BTC/USD", ONE_MINUTE].bars) == 2
    write(tmp_path, "two_1Min.csv", HEADER, other.replace("1.5", "1.6"))
    with pytest.raises(
        RecordingError,
        match=r"two_1Min.csv, line 2: BTC/USD 1Min at 2026-03-01T00:01:00Z differs from .*one_1m.csv, line 3",
    ):
        read_folder(tmp_path)


def test_a_timeframe_in_the_data_goes_before_the_name(tmp_path: Path) -> None:
    write(tmp_path, "bars_1m.csv", HEADER + ",timeframe", ROW + ",1h", ROW + ",1d")
    assert set(read_folder(tmp_path)) == {("BTC/USD", Timeframe(1, "Hour")), ("BTC/USD", Timeframe(1, "Day"))}


@pytest.mark.parametrize(
    ("symbol", "written", "served"),
    [
        ("AAPL", "2026-03-06", "2026-03-06T05:00:00Z"),
        ("AAPL", "2026-03-09", "2026-03-09T04:00:00Z"),  # New York's clocks went on
        ("AAPL", "1998-01-02", "1998-01-02T05:00:00Z"),
        ("AAPL", "2026-03-06T00:00:00Z", "2026-03-06T05:00:00Z"),
        ("AAPL", "2026-03-06T05:00:00Z", "2026-03-06T05:00:00Z"),
        ("AAPL", "2026-03-09T04:00:00Z", "2026-03-09T04:00:00Z"),
        ("AAPL", "2026-03-06 09:30:00-05:00", "2026-03-06T05:00:00Z"),
        ("AAPL", "2026-03-06T21:00:00Z", "2026-03-06T05:00:00Z"),
        ("AAPL", "1772755200", "2026-03-06T05:00:00Z"),  # its midnight in UTC, in seconds
        ("BTC/USD", "2026-03-06", "2026-03-06T00:00:00Z"),
        ("BTC/USD", "2026-03-06T06:00:00Z", "2026-03-06T06:00:00Z"),
    ],
)
def test_a_stocks_day_is_labelled_as_alpaca_does(tmp_path: Path, symbol: str, written: str, served: str) -> None:
    write(tmp_path, "days_1Day.csv", "symbol,date,open,high,low,close,volume", f"{symbol},{written},1,2,0.5,1.5,3")
    (recording,) = read_folder(tmp_path).values()
    assert [bar["t"] for bar in to_dicts(recording.bars)] == [served]


def test_a_days_dates_in_parquet_are_labelled_too_and_two_rows_of_a_day_are_told_apart(tmp_path: Path) -> None:
    days = pd.DataFrame({"symbol": "AAPL", "date": [datetime(2026, 3, 6).date(), datetime(2026, 3, 9).date()]})  # noqa: DTZ001
    days = days.assign(open=1.0, high=2.0, low=0.5, close=1.5, volume=3.0)
    days.to_parquet(tmp_path / "aapl_1Day.parquet")
    (recording,) = read_folder(tmp_path).values()
    assert [bar["t"] for bar in to_dicts(recording.bars)] == ["2026-03-06T05:00:00Z", "2026-03-09T04:00:00Z"]
    write(tmp_path, "more_1Day.csv", HEADER, "AAPL,2026-03-06T14:30:00Z,1,2,0.5,1.25,3")
    with pytest.raises(RecordingError, match=r"AAPL 1Day at 2026-03-06T05:00:00Z differs"):
        read_folder(tmp_path)


def test_a_timeframe_that_is_not_recorded_is_rolled_up(tmp_path: Path) -> None:
    rows = [ROW.replace("00:00:00", f"00:{m:02}:00").replace(",3", f",{m}") for m in range(31)]
    write(tmp_path, "bars_1m.csv", HEADER, *rows)
    source = Recorded(tmp_path)
    start = int(source.recordings["BTC/USD", ONE_MINUTE].bars.times[0])
    quarters = source.bars("BTC/USD", "crypto", Timeframe(15, "Min"), start, start + 10**15, 10)
    assert quarters.columns["v"].tolist() == [sum(range(15)), sum(range(15, 30)), 30]
    assert "n" not in quarters.columns


def test_a_roll_up_starts_from_the_longest_recorded(tmp_path: Path) -> None:
    write(tmp_path, "bars_1m.csv", HEADER, ROW)
    write(tmp_path, "bars_1h.csv", HEADER, ROW.replace(",3", ",300"))
    write(tmp_path, "bars_7h.csv", HEADER, ROW.replace(",3", ",7000"))  # a day is no multiple of it
    source = Recorded(tmp_path)
    days = source.bars("BTC/USD", "crypto", Timeframe(1, "Day"), 0, 2**62, 10)
    assert days.columns["v"].tolist() == [300]


def test_a_shorter_timeframe_than_the_recorded_is_known_and_empty(tmp_path: Path) -> None:
    write(tmp_path, "bars_1h.csv", HEADER, ROW)
    source = Recorded(tmp_path)
    assert source.knows("BTC/USD", "crypto")
    assert not source.knows("BTC/USD", "us_equity")
    assert len(source.bars("BTC/USD", "crypto", ONE_MINUTE, 0, 2**62, 10)) == 0


def test_the_shipped_recordings_are_the_ones_their_readme_tells_of() -> None:
    readme = (RECORDINGS / "README.md").read_text()
    told = re.findall(r"\| `(\S+)` \| ([\d,]+) \| (\S+) \| (\S+) \| `([0-9a-f]{64})` \|", readme)
    assert {name for name, *_ in told} == {path.name for path in RECORDINGS.glob("*.parquet")}
    for name, bars, first, last, digest in told:
        assert hashlib.sha256((RECORDINGS / name).read_bytes()).hexdigest() == digest
        times = pd.read_parquet(RECORDINGS / name).timestamp
        assert len(times) == int(bars.replace(",", ""))
        assert (f"{times.min():%Y-%m-%dT%H:%MZ}", f"{times.max():%Y-%m-%dT%H:%MZ}") == (first, last)
    assert sum(path.stat().st_size for path in RECORDINGS.iterdir()) < 8 * 2**20


def test_the_shipped_btc_is_whole() -> None:
    bars = Recorded(RECORDINGS).recordings["BTC/USD", ONE_MINUTE].bars
    assert len(bars) == 92 * 1440
    assert (np.diff(bars.times) == 60 * 10**9).all()
