"""What is recognised, what is asked for, and what is refused or rejected, with the file, the line and the option."""

import gzip
import io
import json
import os
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.importers import clock, sample, symbols, values
from crypto_platform.importers.formats import FORMATS, alpha_vantage
from crypto_platform.importers.options import Options
from crypto_platform.importers.recognition import recognise
from crypto_platform.importers.report import FileReport, Report
from crypto_platform.importers.run import import_files
from crypto_platform.importers.sample import arrays, take
from crypto_platform.importers.source import RefusedError, Source, sources
from crypto_platform.sandbox.alpaca.exchanges import NOT_A_TIME
from crypto_platform.sandbox.alpaca.recordings import read_table
from crypto_platform_tests.importers import vendors
from crypto_platform_tests.importers.test_round_trips import served

KLINE = "1772323200000,1.10,2.00,0.50,1.500,3,1772323259999,4,7,1,0,0"
YAHOO = "Date,Open,High,Low,Close,Adj Close,Volume"
VANTAGE = "timestamp,open,high,low,close,volume"
STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
MINUTE = 60 * 10**9


def klines(count: int, **changes: str) -> list[str]:
    """Lines of minutes; `line2="…"` is written in place of the second."""
    lines = []
    for place in range(count):
        start = 1772323200000 + 60_000 * place
        lines.append(changes.get(f"line{place + 1}", f"{start},1.10,2.00,0.50,1.500,3,{start + 59_999},4,7,1,0,0"))
    return lines


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def run(path: Path | list[Path], out: Path, **options: Any) -> Report:
    return import_files(path if isinstance(path, list) else [path], out, Options.of(**options))


def one(path: Path, out: Path, **options: Any) -> FileReport:
    (file,) = run(path, out, **options).files
    return file


def test_prices_keep_their_digits(tmp_path: Path, out: Path) -> None:
    lines = klines(
        3, line2="1772323260000,66973.26000000,1e5,.5,0.10000000000000000001,9.19306,1772323319999,1,7,1,0,0"
    )
    assert one(write(tmp_path / "BTCUSDT-1m-2026-03.csv", *lines), out).is_good
    row = read_table(out / "BTC-USDT_1Min_2026.csv.gz").to_pylist()[1]
    assert [row[name] for name in ("open", "high", "low", "close", "volume")] == lines[1].split(",")[1:6]


def test_jsons_numbers_keep_their_digits(tmp_path: Path, out: Path) -> None:
    rows = ",".join(f"[{1772323200000 + 60_000 * n},1.10,2.00,5e-1,1.500,3.000]" for n in range(3))
    assert one(write(tmp_path / "b.json", f"[{rows}]"), out, symbol=["BTC/USD"]).is_good
    row = read_table(out / "BTC-USD_1Min_2026.csv.gz").to_pylist()[2]
    assert [row[name] for name in ("open", "high", "low", "close", "volume")] == [
        "1.10",
        "2.00",
        "5e-1",
        "1.500",
        "3.000",
    ]


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (KLINE.replace("1.500", "x"), "close is no number", "line 2 'x'"),
        (KLINE.replace("1.500", ""), "close is no number", "line 2 None"),
        (KLINE.replace("1.500", "nan"), "close is no number", "line 2 'nan'"),
        (KLINE.replace("1.500", "-inf"), "close is no number", "line 2 '-inf'"),
        (
            KLINE.replace("1.500", "1,500"),
            "not a row of this layout",
            "line 2 13 fields in place of 12: 1772323200000,",
        ),
        (KLINE[:-9], "not a row of this layout", "line 2 8 fields in place of 12"),
        (KLINE.replace(",7,", ",7.5,"), "trade_count is no number", "line 2 '7.5'"),
        (KLINE.replace("1772323200000", "17723232000"), "no time", "line 2 '17723232000'"),
        (KLINE.replace("1772323200000", "yesterday"), "no time", "line 2 'yesterday'"),
        (KLINE.replace("1772323200000", "1772323200001"), "no start of a bar of 1Min", "line 2 '1772323200001'"),
        (KLINE.replace("1772323200000", "\ufffd1"), "no time", "line 2 '\ufffd1'"),
        (f'"{KLINE}', "no time", """line 2 '"1772323200000'"""),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_the_others_are_imported(
    tmp_path: Path, out: Path, line: str, reason: str, detail: str
) -> None:
    file = one(write(tmp_path / "BTCUSDT-1m-2026-03.csv", *klines(4, line2=line)), out)
    assert (file.rows, file.written, file.rejected) == (4, 3, {reason: 1})
    assert file.examples[reason][0].startswith(detail)
    assert len(served(out)["BTC/USDT", "1Min"]) == 3


def test_a_bad_byte_and_an_empty_line_do_not_shift_the_lines(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m-2026-03.csv", *klines(6, line2="", line4="x", line5=KLINE.replace("3,", "@,")))
    path.write_bytes(path.read_bytes().replace(b"@", b"\xff"))
    file = one(path, out)
    assert (file.rows, file.written) == (5, 3)
    assert [text[:6] for texts in file.examples.values() for text in texts] == ["line 4", "line 5"]


@pytest.mark.parametrize("line", [2**13 - 1, 2**16])
def test_lines_are_counted_over_the_pieces_in_which_a_file_is_read(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    monkeypatch.setattr("crypto_platform.importers.rows.BLOCK", 1 << 19)
    lines = klines(2**16 + 5, **{f"line{line}": "x"})
    file = one(write(tmp_path / "BTCUSDT-1m-2026-03.csv", *lines), out)
    assert file.examples["not a row of this layout"][0].startswith(f"line {line:,} ")
    assert file.written == 2**16 + 4


MS, US = 1735689480000, 1735689600000000


def test_milliseconds_of_2024_and_microseconds_of_2025_in_one_file(tmp_path: Path, out: Path) -> None:
    bars = [(MS, 59_999, 1.5), (MS + 60_000, 59_999, 2.5), (US, 59_999_999, 3.0), (US + 60 * 10**6, 59_999_999, 4.0)]
    lines = [f"{start},1,2,0.5,1.5,{volume},{start + length},1,1,1,1,0" for start, length, volume in bars]
    file = one(write(tmp_path / "BTCUSDT-1m-2025-01.csv", *lines), out)
    assert file.facts["time zone"].why == "numbers since 1970, in microseconds and milliseconds"
    volumes = served(out)["BTC/USDT", "1Min"].volume
    assert volumes["2024-12-31"].sum() == 4.0
    assert volumes["2025-01-01"].sum() == 7.0


def test_a_coins_days_from_another_midnight_than_utcs_are_rejected(cases: Path, tmp_path: Path, out: Path) -> None:
    """alpaca-py#169: days from Chicago's midnight."""
    bars = pd.read_csv(cases / "other-timeframe" / "BTC-USD_1Day.csv").assign(trade_count=1, vwap=40_000)
    path = tmp_path / "bars.csv"
    bars.set_index(["symbol", "timestamp"]).to_csv(path)
    assert "--timeframe" in one(path, out).refused
    file = one(path, out, timeframe="1Day")
    assert file.rejected == {"no start of a bar of 1Day": 2}
    assert not list(out.glob("*.gz"))


@pytest.mark.parametrize(
    ("name", "lines", "options", "told"),
    [
        ("k.csv", klines(3), {}, "its symbol is not in it: say it with --symbol"),
        ("ADATRY-1m-2026-03.csv", klines(3), {}, "--symbol ADATRY=BTC/USD"),
        ("BTCUSD_PERP-1m-2026-03.csv", klines(3), {}, "--symbol BTCUSD_PERP="),
        ("b.json", ["[[1772323200000,1,2,0.5,1.5,3],[1772323260000,1,2,0.5,1.5,3]]"], {}, "--timeframe"),
        ("BTC_USDT_USDT-1h-futures.json", ["[[1772323200000,1,2,0.5,1.5,3]]"], {}, "--symbol BTC_USDT_USDT="),
        ("a.csv", [STOOQ, *(f"AAPL.US,5,20260302,1535{n}0,1,2,0.5,1.5,3,0" for n in "012")], {}, "--timezone"),
        ("a.csv", [STOOQ, *(f"AAPL.US,5,20260302,1535{n}0,1,2,0.5,1.5,3,0" for n in "012")], {}, "--label start or"),
        ("a.csv", [STOOQ, "SAP.DE,D,20260302,000000,1,2,0.5,1.5,3,0"], {}, "of another exchange than New York's"),
        ("a.csv", ["Date,Open,High,Low,Close,Volume", "2026-03-02,1,2,0.5,1.5,3"], {}, "say which it is with --format"),
        ("x.csv", [YAHOO, *(f"2026-03-0{n},1,2,0.5,1.5,1,3" for n in "245")], {}, "--symbol"),
        ("x.csv", [YAHOO, "2026-03-02,1,2,0.5,1.5,1,3"], {"symbol": ["AAPL"]}, "too few bars to infer it"),
        ("intraday_5min_IBM.csv", [VANTAGE, "2026-03-02 12:00:00,1,2,1,2,3"], {}, "--label"),
        ("XBTUSD_5.csv", [f"{1772323200 + 60 * n},1,2,0.5,1.5,3,7" for n in range(20)], {}, "its bars are 1Min apart"),
        ("BTCUSDT-1s-2026-03.csv", ["1772323200000,1,2,1,2,3,1772323200999,4,7,1,0,0"], {}, "bars of 1s are of none"),
        ("BTCUSDT-1m-2026-03.csv", klines(3), {"timeframe": "5m"}, "leave --timeframe 5Min out"),
        ("BTCUSDT-1m-2026-03.csv", klines(3), {"label": "end"}, "leave --label end out"),
        ("BTCUSDT-1m-2026-03.csv", klines(3), {"symbol": ["AAPL"]}, "is of the class crypto"),
        ("20260302_aapl_minute_quote.csv", ["0,1,1,1,1,1,1,1,1,1,1"], {}, "Lean's quotes"),
        ("20261302_aapl_minute_trade.csv", ["0,1,1,1,1,1"], {}, "is no date such as"),
        ("BTCUSDT-1m-2026-03.csv", klines(3), {"format": "kraken"}, "not laid out as Kraken OHLCVT"),
        ("r.csv", [f"symbol,{VANTAGE}", "A,2026-03-02,1,2,1,2,3"], {}, "is a recording already"),
        ("page.html", ["<!DOCTYPE html>", "<p>Sign in</p>"], {}, "unknown layout; it begins with '<!DOCTYPE html>'"),
        ("empty.csv", [""], {}, "the file is empty"),
        ("n.json", ['{"Note": "Thank you for using Alpha Vantage!"}'], {}, "message in place of bars: Thank you"),
        ("k.json", ['{"error":["EGeneral:Too many requests"]}'], {}, "EGeneral:Too many requests"),
        ("k.json", ['{"error":[],"result":{"A":[],"B":[],"last":1772323200}}'], {}, "Kraken answers of one pair"),
        ("a.json", ['{"Meta Data":{},"Time Series (Daily)":{"2026-03-02":{},"2026-03-02":{}}}'], {}, "is there twice"),
        ("c.json", ['{"candles":[{"start":"1772323200"'], {}, "no JSON"),
        ("b.json", ["[[1772323200000,1,2,0.5,1.5,3],", "[17723232600"], {"symbol": ["BTC/USD"]}, "no JSON after row 1"),
        ("old.feather", ["FEA1"], {}, "Feather of version 1"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_asked_for_and_what_is_bad_is_refused(
    tmp_path: Path, out: Path, name: str, lines: list[str], options: dict[str, Any], told: str
) -> None:
    good = write(tmp_path / "ETHUSDT-1m-2026-03.csv", *klines(3))
    bad = write(tmp_path / name, *lines)
    files = run([bad, good], out, **options).files
    assert files[0].refused.startswith(f"{bad}: ")
    assert told in files[0].refused
    assert (files[0].rows, files[0].written) == (0, 0)
    if not options:
        assert files[1].written == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"format": "csv"}, "--format csv: there is none of that name: choose from binance"),
        ({"symbol": ["BTC/USD", "ETH/USD"]}, "say whose: --symbol XBTUSD=BTC/USD"),
        ({"symbol": ["btc"]}, "--symbol: 'btc' is not a symbol"),
        ({"timeframe": "90 minutes"}, "--timeframe: '90 minutes' is not a timeframe: write 1Min"),
        ({"timezone": "New York"}, "--timezone New York: write a name such as UTC"),
        ({"timezone": "../etc/passwd"}, "--timezone"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Options.of(**options)


@pytest.mark.parametrize(("text", "timeframe"), [("1m", "1Min"), ("1M", "1Month"), ("1h", "1Hour"), ("1440m", "1Day")])
def test_timeframes_of_the_option(text: str, timeframe: str) -> None:
    assert str(Options.of(timeframe=text).timeframe) == timeframe


def cut(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


def test_nothing_is_imported_of_a_file_whose_cut_shows_late(
    btc: pd.DataFrame, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_platform.importers.rows.BLOCK", 4096)
    whole = vendors.kraken_csv(btc[:10], tmp_path, "ETHUSD")
    report = run([cut(_gzipped(vendors.kraken_csv(btc, tmp_path))), whole], out)
    assert "cut or damaged after line 1," in report.files[0].refused
    assert (report.files[0].rows, report.files[0].written) == (0, 0)
    assert served(out).keys() == {("ETH/USD", "1Min")}


@pytest.mark.parametrize(
    ("write_it", "told"),
    [
        (vendors.binance_zip, "not a zip file"),
        (lambda bars, at: _gzipped(vendors.kraken_csv(bars, at)), "after line [1-9]"),
        (vendors.freqtrade_feather, "cut or damaged"),
        (lambda bars, at: _parquet(bars, at), "cut or damaged"),
        (lambda bars, at: vendors.ohlcv(bars, at / "BTC_USDT-1m.json"), r"no JSON after row [1-9]"),
        (vendors.coinbase_advanced, "no JSON"),
    ],
)
def test_a_file_that_is_cut_is_refused_whole_and_the_others_are_imported(
    btc: pd.DataFrame, tmp_path: Path, out: Path, write_it: Any, told: str
) -> None:
    bad = cut(write_it(btc, tmp_path))
    good = write(tmp_path / "ETHUSDT-1m-2026-03.csv", *klines(3))
    report = run([bad, good], out)
    with pytest.raises(RefusedError, match=told):
        raise RefusedError(report.files[0].refused)
    assert [(file.rows, file.written) for file in report.files] == [(0, 0), (3, 3)]
    assert served(out).keys() == {("ETH/USDT", "1Min")}


def _gzipped(path: Path) -> Path:
    target = path.with_name(f"{path.name}.gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


def _parquet(bars: pd.DataFrame, folder: Path) -> Path:
    path = folder / "bars.parquet"
    path.write_bytes(vendors.as_bytes(vendors.bar_set({"BTC/USD": bars}), "parquet"))
    return path


def test_a_zip_whose_member_is_damaged_is_refused(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    path = vendors.binance_zip(btc, tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    file = one(path, out)
    assert "cut or damaged" in file.refused
    assert not list(out.glob("*.gz"))


def test_an_encrypted_and_an_empty_zip_are_refused(tmp_path: Path, out: Path) -> None:
    path = vendors.zipped(tmp_path / "a.zip", "BTCUSDT-1m-2026-03.csv", "\n".join(klines(3)))
    content = path.read_bytes()
    # The flag of an encrypted member, in its header and in the directory.
    content = content.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
    content = content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    path.write_bytes(content)
    assert "password" in one(path, out).refused
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("README", "nothing")
    assert "nothing in it can be imported" in one(tmp_path / "b.zip", out).refused


def test_a_zip_of_many_files_is_imported_member_by_member(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    """As Kraken's, with all pairs and intervals."""
    path = tmp_path / "Kraken_OHLCVT.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for pair in ("XBTUSD", "XDGUSD"):
            archive.write(vendors.kraken_csv(btc[:20], tmp_path, pair), f"{pair}_1.csv")
        archive.writestr("__MACOSX/._XBTUSD_1.csv", "x")
        archive.writestr("ADATRY_1.csv", "x")
    files = run(path, out).files
    assert [bool(file.refused) for file in files] == [False, False, True]
    assert served(out).keys() == {("BTC/USD", "1Min"), ("DOGE/USD", "1Min")}


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path, out: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "BTCUSDT-1m-2026-03.csv", *klines(3))
    write(tmp_path / "deep" / "BTCUSDT-1m-2026-03.zip.CHECKSUM", "x")
    write(tmp_path / "deep" / ".hidden.csv", "x")
    assert [file.written for file in run(tmp_path, out).files] == [3]


def test_bars_of_two_symbols_never_become_ones(tmp_path: Path, out: Path) -> None:
    paths = [write(tmp_path / f"{pair}-1m-2026-03.csv", *klines(3)) for pair in ("BTCUSDT", "ETHUSDT")]
    files = run(paths, out, symbol=["BTC/USD"]).files
    assert files[0].written == 3
    assert "--symbol BTC/USD stands for BTCUSDT, and this is ETHUSDT" in files[1].refused
    files = run(paths, out, symbol=["BTCUSDT=BTC/USD", "ETHUSDT=ETH/USD"]).files
    assert [file.is_good for file in files] == [True, True]
    assert served(out).keys() == {("BTC/USD", "1Min"), ("ETH/USD", "1Min")}


def test_a_column_of_symbols_with_one_that_is_none(spy: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(vendors.as_bytes(vendors.bar_set({"SPY": spy, "SPY-P": spy}), "csv"))
    file = one(path, out)
    assert (file.written, file.rejected.total()) == (len(spy), len(spy))
    assert one(path, out, symbol=["SPY-P=SPY.P"]).written == len(spy)


def at_time(path: Path, moment: str) -> Path:
    """The file as one that was written at a moment."""
    seconds = pd.Timestamp(moment).timestamp()
    os.utime(path, (seconds, seconds))
    return path


@pytest.mark.parametrize("write_it", [vendors.coinbase, lambda bars, at: vendors.ohlcv(bars, at / "b.json")])
def test_a_bar_that_was_running_when_the_file_was_written_is_left_out(
    btc: pd.DataFrame, tmp_path: Path, out: Path, write_it: Any
) -> None:
    bars = btc[:60]
    path = at_time(write_it(bars, tmp_path), "2026-03-07T00:59:30Z")
    (reason, count), *_ = one(path, out, symbol=["BTC/USD"]).left_out.items()
    assert ("running when the file was written" in reason, count) == (True, 1)
    assert len(served(out)["BTC/USD", "1Min"]) == 59
    assert one(path, out, symbol=["BTC/USD"], last_bar="keep").written == 1
    at_time(path, "2026-03-07T01:00:00Z")
    file = one(path, out, symbol=["BTC/USD"])
    assert (file.unchanged, len(file.notes)) == (60, 1 + (write_it is vendors.coinbase))
    assert "had ended when the file was written" in file.notes[0]
    assert one(path, out / "2", symbol=["BTC/USD"], last_bar="drop").written == 59


def test_a_bar_of_today_and_one_of_tomorrow(tmp_path: Path, out: Path) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    starts = [now + timedelta(minutes=minutes) for minutes in (-3, -2, -1, 0)]
    rows = [[int(start.timestamp()) * 1000, 1, 2, 0.5, 1.5, 3] for start in starts]
    path = write(tmp_path / "b.json", json.dumps(rows))
    file = one(path, out, symbol=["BTC/USD"])
    assert (file.written, file.left_out.total()) == (3, 1)
    rows.append([rows[-1][0] + 3_600_000, 1, 2, 0.5, 1.5, 3])
    file = one(write(path, json.dumps(rows)), out, symbol=["BTC/USD"], timeframe="1m")
    assert file.rejected == {"in the future": 1}


def test_krakens_running_bar_can_be_kept(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    path = vendors.kraken_rest(btc[:60], tmp_path)
    file = one(path, out)
    assert (file.written, file.left_out) == (59, {"not complete yet, as the vendor's `last` says": 1})
    assert one(path, out, last_bar="keep").written == 1


def test_rows_out_of_order_are_sorted_and_said(tmp_path: Path, out: Path) -> None:
    lines = klines(5)
    path = write(tmp_path / "BTCUSDT-1m-2026-03.csv", *lines[2:], *lines[:2])
    assert one(path, out).notes == ["out of order at 1 rows: sorted"]
    assert served(out)["BTC/USDT", "1Min"].index.is_monotonic_increasing
    assert one(write(path, *lines[::-1]), out).notes == ["newest first: sorted"]


def test_a_last_line_that_does_not_end_is_said(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2026-03.csv"
    path.write_text("\n".join(klines(3)))
    file = one(path, out)
    assert file.written == 3
    assert "its last line does not end" in file.notes[0]


def test_columns_of_types_that_hold_no_bars_are_refused(btc: pd.DataFrame, tmp_path: Path, out: Path) -> None:
    bars = btc[:5].assign(symbol="BTC/USD")
    bars.assign(close=[[1.0]] * 5).to_parquet(tmp_path / "a.parquet", index=False)
    bars.assign(timestamp=pd.to_timedelta(range(5), unit="min")).to_parquet(tmp_path / "b.parquet", index=False)
    files = run([tmp_path / "a.parquet", tmp_path / "b.parquet"], out, timeframe="1Min").files
    assert all(file.refused.startswith(str(file.source)) for file in files)


def test_an_hour_that_new_york_has_twice_is_no_moment(tmp_path: Path, out: Path) -> None:
    hours = ["20261101 000000", "20261101 013000", "20260308 023000", "20261101 030000"]
    lines = [f"AAPL.US,5,{hour.replace(' ', ',')},1,2,0.5,1.5,3,0" for hour in hours]
    path = write(tmp_path / "a.csv", STOOQ, *lines)
    file = one(path, out, timezone="America/New_York", label="start")
    assert file.rejected == {"not one moment in America/New_York": 2}
    assert file.written == 2


def test_a_time_without_an_offset_far_behind_those_with_one_is_rejected(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_platform.importers.rows.BLOCK", 140)
    lines = [f"2026-03-02 14:3{n}:00{zone},1,2,0.5,1.5,3" for n, zone in enumerate(["Z"] * 8 + [""])]
    path = write(tmp_path / "a.csv", "Datetime,Open,High,Low,Close,Volume", *lines)
    file = one(path, out, symbol=["AAPL"])
    assert (file.written, file.rejected) == (8, {"no offset, which the first rows have": 1})


@pytest.mark.parametrize(
    ("of_day", "label"),
    [
        (["04:00", "12:00", "19:59"], "start"),
        (["04:01", "20:00"], "end"),
        (["09:30", "15:59"], "start"),
        (["09:31", "16:00"], "end"),
        (["04:05", "09:30", "16:00"], None),
        (["12:00"], None),
        (["04:00", "20:00"], None),
        ([], None),
    ],
)
def test_what_bounds_a_day_says_the_label(of_day: list[str], label: str | None) -> None:
    times = np.array([f"2026-03-02T{time}" for time in of_day], "M8[ns]").astype(np.int64)
    fact = alpha_vantage.label(times)
    assert (fact and fact.value) == label


def test_a_days_time_of_day_says_nothing(tmp_path: Path, out: Path) -> None:
    lines = [f"AAPL.US,D,2026030{day},0{day}0000,1,2,0.5,1.5,3,0" for day in (2, 3, 4)]
    assert one(write(tmp_path / "a.csv", STOOQ, *lines), out).is_good
    days = served(out)["AAPL", "1Day"].index.tz_convert("America/New_York")
    assert days.strftime("%Y-%m-%d %H:%M").tolist() == [f"2026-03-0{day} 00:00" for day in (2, 3, 4)]


@pytest.mark.parametrize(
    ("minutes", "timeframe"),
    [
        ([0, 1, 2, 3], "1Min"),
        ([0, 1, 2, 30, 31, 60], "1Min"),
        ([0, 15, 30, 45, 1440, 1455], "15Min"),
        ([0, 60, 120], "1Hour"),
        ([0, 1440, 2880, 2880 + 3 * 1440, 2880 + 4 * 1440], "1Day"),
        ([0, 5, 15, 30], None),  # half of them may be by chance
        ([0, 5, 10, 13, 20], None),
        ([0, 10080, 20160, 30240], None),
        ([0, 90, 180, 270], None),
        ([0, 1], None),
        ([], None),
    ],
)
def test_what_the_distances_between_bars_say(minutes: list[int], timeframe: str | None) -> None:
    found, why, distances = clock.inferred([(np.array(minutes) * MINUTE, "crypto", True)])
    assert (str(found) if found else None, distances) == (timeframe, max(0, len(minutes) - 1))
    assert why


def test_a_stocks_days_are_told_over_a_change_of_clocks() -> None:
    days = [pd.Timestamp(f"2026-03-0{day}", tz="America/New_York").value for day in (5, 6, 9)]
    days.append(pd.Timestamp("2026-03-10", tz="America/New_York").value)
    assert str(clock.inferred([(np.array(days), "us_equity", True)])[0]) == "1Day"


# Properties

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
WALL = st.integers(20 * 365 * 86_400, 56 * 365 * 86_400).map(lambda seconds: EPOCH + timedelta(seconds=seconds))
ZONES = st.sampled_from(["America/New_York", "Europe/Warsaw", "UTC", "Australia/Lord_Howe"])


@settings(deadline=None, max_examples=200)
@given(WALL, ZONES)
def test_local_times_are_those_of_zoneinfo(wall: datetime, zone: str) -> None:
    ns = int((wall - EPOCH).total_seconds()) * 10**9
    (found,) = clock.to_utc(np.array([ns]), zone)
    moments = {wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    shown = {moment for moment in moments if moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall}
    expected = [int(moment.timestamp()) * 10**9 for moment in shown] if len(shown) == 1 else [NOT_A_TIME]
    assert [found] == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(315_532_800, 1_780_000_000), st.sampled_from([1, 10**3, 10**6, 10**9]))))
def test_epochs_of_any_mixture_of_units(rows: list[tuple[int, int]]) -> None:
    found = clock.epochs(pa.array([str(seconds * unit) for seconds, unit in rows], pa.string()))
    assert found.ns.tolist() == [seconds * 10**9 for seconds, _ in rows]
    names = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
    assert found.units == {names[unit] for _, unit in rows}


@given(st.lists(st.one_of(st.none(), st.text(max_size=12), st.floats().map(str), st.decimals().map(str))))
def test_a_number_is_what_python_reads_as_a_finite_one(texts: list[str | None]) -> None:
    def finite(text: str | None) -> bool:
        try:
            return (
                text is not None
                and "_" not in text
                and text.isascii()
                and Decimal(text.strip(" \t\n\r\f\v")).is_finite()
            )
        except ArithmeticError:
            return False

    found, wrong = values.numbers(pa.array(texts, pa.string()), "open")
    for text, kept, bad in zip(texts, found.to_pylist(), wrong.tolist(), strict=True):
        if finite(text) and text and abs(Decimal(text.strip())) < Decimal("1e300"):
            assert not bad, text
            assert Decimal(kept) == Decimal(text.strip())
        if not bad:
            assert finite(text)


@given(st.integers(0, 10**15))
def test_ten_thousandths_are_divided_exactly(number: int) -> None:
    (text,), (wrong,) = values.shifted(pa.array([str(number)]), 4)
    assert (Decimal(text.as_py()), bool(wrong)) == (Decimal(number) / 10_000, False)


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.integers(), st.floats(allow_nan=False).map(repr), st.just("a],b")), max_size=4)
    ),
    st.sampled_from([None, 1]),
    st.integers(1, 60),
)
def test_a_json_array_is_read_in_pieces_as_in_one(rows: list[list[Any]], indent: int | None, piece: int) -> None:
    rows = [row for row in rows if "a],b" not in row]
    before, sample._PIECE = sample._PIECE, piece
    try:
        content = io.BytesIO(json.dumps(rows, indent=indent).encode())
        found = [row for part in arrays(Source(Path("x")), content) for row in part]
    finally:
        sample._PIECE = before
    assert found == [[None if value is None else str(value) for value in row] for row in rows]


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(alphabet='0123456789.,\n[]{}":eE-+TZaDt ', max_size=300).map(str.encode),
        st.sampled_from(["BTCUSDT-1m-2026-03.csv", KLINE, YAHOO, STOOQ, "[[", '{"candles":']).map(str.encode),
    ),
    st.sampled_from(["a.csv", "XBTUSD_1.csv", "20260302_aapl_minute_trade.csv", "aapl_us_d.csv", "BTC_USDT-1m.json"]),
)
def test_whatever_a_file_holds_it_is_recognised_or_refused(content: bytes, name: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        report = import_files([path], Path(folder) / "out", Options.of(symbol=["BTC/USD"]))
    for file in report.files:
        assert file.refused or file.rows >= file.written


@pytest.mark.parametrize(
    ("format", "vendors_name", "symbol"),
    [
        ("binance", "ETHBTC", "ETH/BTC"),
        ("kraken", "XBTUSD", "BTC/USD"),
        ("kraken", "XXBTZUSD", "BTC/USD"),
        ("kraken", "XETHXXBT", "ETH/BTC"),
        ("kraken", "XXDGZUSD", "DOGE/USD"),
        ("kraken", "XBT/USDT", "BTC/USDT"),
        ("kraken", "ETHXBT", "ETH/BTC"),
        ("kraken", "1INCHEUR", "1INCH/EUR"),
        ("coinbase", "BTC-USD", "BTC/USD"),
        ("ccxt", "ETH/USDT", "ETH/USDT"),
        ("freqtrade", "SOL_USDC", "SOL/USDC"),
        ("lean-equity", "brk.b", "BRK.B"),
        ("lean-crypto", "btcusd", "BTC/USD"),
        ("yfinance", "BRK-B", "BRK.B"),
        ("yfinance", "BTC-USD", "BTC/USD"),
        ("yfinance", "^GSPC", None),
        ("yfinance", "SAP.DE", None),
        ("alpha-vantage", "BRK.B", "BRK.B"),
        ("alpha-vantage", "TSCO.LON", None),
        ("stooq", "aapl.us", "AAPL"),
        ("stooq", "BRK-B.US", "BRK.B"),
        ("stooq", "BTC.V", "BTC/USD"),
        ("stooq", "BTCUSD", "BTC/USD"),
        ("stooq", "VOD.UK", None),
    ],
)
def test_vendors_symbols(format: str, vendors_name: str, symbol: str | None) -> None:
    naming = symbols.Naming()
    if symbol:
        assert naming.of(vendors_name, FORMATS[format])[0] == symbol
    else:
        with pytest.raises(ValueError, match=f"--symbol {vendors_name}=".replace("^", r"\^")):
            naming.of(vendors_name, FORMATS[format])


def test_a_vendors_file_is_recognised_as_its_own_alone(
    btc: pd.DataFrame, aapl: pd.DataFrame, minutes: pd.DataFrame, tmp_path: Path
) -> None:
    bars = vendors.bar_set({"BTC/USD": btc[:20]})
    for kind in ("csv", "parquet"):
        (tmp_path / f"bars.{kind}").write_bytes(vendors.as_bytes(bars, kind))
    written = {
        "binance": [vendors.binance_csv(btc[:20], tmp_path, header=True), vendors.binance_zip(btc[:20], tmp_path)],
        "kraken": [vendors.kraken_csv(btc[:20], tmp_path)],
        "kraken-rest": [vendors.kraken_rest(btc[:20], tmp_path)],
        "coinbase": [vendors.coinbase(btc[:20], tmp_path)],
        "coinbase-advanced": [vendors.coinbase_advanced(btc[:20], tmp_path)],
        "freqtrade": [
            vendors.freqtrade_feather(btc[:20], tmp_path),
            vendors.ohlcv(btc[:20], tmp_path / "BTC_USDT-1m.json"),
        ],
        "ccxt": [vendors.ohlcv(btc[:20], tmp_path / "list.json")],
        "alpaca-py": [tmp_path / "bars.csv", tmp_path / "bars.parquet"],
        "lean-crypto": [*vendors.lean_minutes(btc[:20], tmp_path, "btcusd", crypto=True)],
        "lean-equity": [
            *vendors.lean_minutes(minutes[:20], tmp_path, "aapl"),
            vendors.lean_days(aapl[:20], tmp_path, "aapl"),
        ],
        "yfinance": [
            vendors.yfinance_download({"AAPL": aapl[:20]}, tmp_path),
            vendors.yfinance_history(aapl[:20], tmp_path),
        ],
        "alpha-vantage": [
            vendors.alpha_vantage_csv(minutes[:20], tmp_path / "x.csv"),
            vendors.alpha_vantage_json(minutes[:20], tmp_path / "x.json", "Time Series (1min)", "IBM"),
        ],
        "stooq": [
            vendors.stooq_database({"AAPL.US": aapl[:20]}, tmp_path / "x.txt", "D"),
            vendors.stooq_history(aapl[:20], tmp_path / "aapl_us_d.csv"),
        ],
    }
    assert written.keys() == FORMATS.keys()
    for name, paths in written.items():
        for path in paths:
            for source in sources(path):
                assert recognise(take(source))[0].name == name
                others = [format.name for format in FORMATS.values() if format.recognise(take(source))]
                # A plain header line of Yahoo's is Stooq's too, and its file's name decides.
                assert others == [name] or path.name == "aapl_us_d.csv"
