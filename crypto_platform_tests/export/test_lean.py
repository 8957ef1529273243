"""Lean's files beside Lean's own, and beside the examples of its documentation."""

import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from crypto_platform.export.formats import Partition
from crypto_platform.export.lean import Lean, _decimals, factor_rows, map_rows
from crypto_platform.export.request import ExportError, ExportRequest
from crypto_platform.export.run import export
from crypto_platform.research import MarketData
from crypto_platform_tests.dbt_project.test_adjustment import LEAN
from crypto_platform_tests.dbt_project.warehouse import Warehouse
from crypto_platform_tests.export.folders import check_whole
from crypto_platform_tests.research.known import FIRST, LATE

NAMES = ["time", "open", "high", "low", "close", "volume"]


@pytest.fixture(scope="module")
def apple(researched: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Apple's days."""
    out = tmp_path_factory.mktemp("lean") / "data"
    export(ExportRequest(out, ("AAPL",), feed="us_equity_daily"), Lean(), researched.settings)
    return out


def content(archive: Path) -> dict[str, str]:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name).decode() for name in opened.namelist()}


def test_apple_s_days_are_lean_s(apple: Path) -> None:
    own = pd.read_csv(LEAN / "lean_aapl_1d_raw.csv.gz")
    prices = (own[["open", "high", "low", "close"]] * 10_000).round().astype(int)
    expected = pd.concat([own["date"].str.replace("-", "") + " 00:00", prices, own["volume"]], axis=1)
    text = expected.to_csv(header=False, index=False, lineterminator="\n")
    assert content(apple / "equity/usa/daily/aapl.zip") == {"aapl.csv": text}
    assert {one["path"] for one in check_whole(apple)["attachments"]} == {
        "equity/usa/factor_files/aapl.csv",
        "equity/usa/map_files/aapl.csv",
    }


def factors(source: Any) -> pd.DataFrame:
    return pd.read_csv(source, names=["day", "price", "split", "close"])


def test_apple_s_factors_are_lean_s(apple: Path) -> None:
    found = factors(apple / "equity/usa/factor_files/aapl.csv")
    own = factors(LEAN / "lean_aapl_factor_files.csv")
    # Lean rounds its factors to seven decimals.
    pd.testing.assert_frame_equal(found[["day", "close"]], own[["day", "close"]], check_dtype=False)
    pd.testing.assert_series_equal(found["price"], own["price"], rtol=0, atol=1.5e-7)
    pd.testing.assert_series_equal(found["split"], own["split"], rtol=0, atol=5e-8)


def test_lean_s_own_adjustment_gives_the_platform_s_prices(apple: Path, researched: Warehouse) -> None:
    """As Lean does it: the first row of a day that is not before the bar's, price and split factor multiplied."""
    (text,) = content(apple / "equity/usa/daily/aapl.zip").values()
    raw = pd.read_csv(io.StringIO(text), names=NAMES)
    raw["day"] = raw["time"].str[:8].astype(int)
    rows = factors(apple / "equity/usa/factor_files/aapl.csv").drop(columns="close")
    joined = pd.merge_asof(raw, rows, on="day", direction="forward")
    adjusted = joined["close"] / 10_000 * joined["price"] * joined["split"]
    with MarketData(researched.settings) as market:
        expected = market.bars("AAPL", "1998-01-01", "2022-01-01", adjustment="all", feed="us_equity_daily")
    pd.testing.assert_series_equal(adjusted, expected["close"].to_pandas(), check_names=False, rtol=1e-9)


def test_apple_had_one_ticker(apple: Path) -> None:
    assert (apple / "equity/usa/map_files/aapl.csv").read_text() == "19980102,aapl\n20501231,aapl\n"


def test_factors_are_those_known_then(researched: Warehouse, tmp_path: Path) -> None:
    splits = {}
    for name, moment in (("first", FIRST), ("late", LATE)):
        request = ExportRequest(tmp_path / name, ("AAPL",), feed="us_equity_daily", as_of=moment)
        export(request, Lean(), researched.settings)
        splits[name] = factors(request.out / "equity/usa/factor_files/aapl.csv")["split"].iloc[0]
    assert splits["first"] == pytest.approx(4 * splits["late"])


def test_a_coin_s_minutes_are_a_zip_a_day(researched: Warehouse, tmp_path: Path) -> None:
    request = ExportRequest(tmp_path / "data", ("BTC/USD",), timeframe="1Min")
    export(request, Lean(), researched.settings)
    with MarketData(researched.settings) as market:
        expected = market.bars("BTC/USD", "2026-03-02", "2026-03-03", "1Min").to_pandas()
    archive = request.out / "crypto/coinbase/minute/btcusd/20260302_trade.zip"
    ((name, text),) = content(archive).items()
    found = pd.read_csv(io.StringIO(text), names=NAMES)
    assert name == "20260302_btcusd_minute_trade.csv"
    assert found["time"].tolist() == list(range(0, 86_400_000, 60_000))
    for column in NAMES[1:]:
        assert found[column].tolist() == expected[column].tolist()
    days = [one["path"] for one in check_whole(request.out)["files"]]
    assert [day[-18:-10] for day in days] == ["20260301", "20260302", "20260303"]
    hours = ExportRequest(tmp_path / "hours", ("BTC/USD",), timeframe="1Hour")
    export(hours, Lean(), researched.settings)
    ((name, text),) = content(hours.out / "crypto/coinbase/hour/btcusd_trade.zip").items()
    assert (name, text.splitlines()[8].split(",")[0]) == ("btcusd.csv", "20260301 08:00")


def test_no_number_has_an_exponent() -> None:
    values = [90.0, 1e-9, 0.1234, 77382.52, 1e17, 123456789.123]
    expected = ["90", "0.000000001", "0.1234", "77382.52", "100000000000000000", "123456789.123"]
    assert _decimals(pa.array(values)).to_pylist() == expected
    for value, text in zip(values, expected, strict=True):
        assert _decimals(pa.array([value])).to_pylist() == [text]


def test_a_stock_s_times_are_new_york_s(tmp_path: Path) -> None:
    """The examples of Lean's documentation of equities, before and after the clocks change."""
    rows = [
        (datetime(2014, 6, 5, 8, 15, tzinfo=UTC), 644.8, 90.0),
        (datetime(2014, 6, 5, 13, 30, tzinfo=UTC), 0.1234, 0.5),
    ]
    starts, prices, volumes = zip(*rows, strict=True)
    bars = pa.RecordBatch.from_pydict(
        {
            "bar_start": pa.array(starts, pa.timestamp("us", "UTC")),
            **{name: pa.array(prices) for name in NAMES[1:5]},
            "volume": pa.array(volumes),
        }
    )
    partition = Partition("AAPL", "us_equity", "1Min", 20140605)
    assert str(Lean().path(partition, *starts)) == "equity/usa/minute/aapl/20140605_trade.zip"
    writer = Lean().writer(partition, tmp_path / "minute.zip")
    writer.write(bars)
    writer.close()
    assert content(tmp_path / "minute.zip") == {
        "20140605_aapl_minute_trade.csv": "15300000,6448000,6448000,6448000,6448000,90\n"
        "34200000,1234,1234,1234,1234,0.5\n"
    }
    winter = bars.set_column(0, "bar_start", half_a_year_before(bars["bar_start"]))
    hour = Partition("BRK.B", "us_equity", "1Hour", 0)
    assert str(Lean().path(hour, *starts)) == "equity/usa/hour/brk.b.zip"
    writer = Lean().writer(hour, tmp_path / "hour.zip")
    writer.write(winter)
    writer.close()
    assert content(tmp_path / "hour.zip")["brk.b.csv"].splitlines()[0].startswith("20140105 03:15,6448000")


def half_a_year_before(starts: pa.Array) -> pa.Array:
    return pa.array([start - timedelta(days=151) for start in starts.to_pylist()], starts.type)


def period(symbol: str, valid_from: date | None, valid_to: date | None, first: date | None) -> dict[str, Any]:
    return {"symbol": symbol, "valid_from": valid_from, "valid_to": valid_to, "first_bar_date": first}


def test_a_change_of_name_is_in_the_map() -> None:
    """Facebook's map file as Lean has it, without the exchange."""
    renamed = date(2022, 6, 9)
    periods = [period("FB", None, renamed, date(2012, 5, 18)), period("META", renamed, None, renamed)]
    assert list(map_rows(periods)) == ["20120518,fb", "20220608,fb", "20501231,meta"]
    ended = [period("TWTR", None, date(2022, 10, 28), date(2013, 11, 7))]
    assert list(map_rows(ended)) == ["20131107,twtr", "20221027,twtr"]


def test_a_factor_has_no_exponent() -> None:
    """Lean takes one for infinite."""
    split = {
        "previous_bar_date": date(2020, 1, 2),
        "previous_close": 1e-5,
        "split_factor": 1e7,
        "dividend_factor": None,
    }
    rows = list(factor_rows([period("X", None, None, date(2019, 1, 2))], [split]))
    assert rows == ["20190102,1,10000000,1", "20200102,1,10000000,0.00001", "20501231,1,1,0"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"timeframe": "15Min"}, "no bars of 15Min, but of 1Min, 1Hour, 1Day"),
        ({"adjustment": "all"}, "--adjustment raw"),
    ],
)
def test_what_lean_does_not_have_is_refused(researched: Warehouse, tmp_path: Path, more: Any, says: str) -> None:
    with pytest.raises(ExportError, match=says):
        export(ExportRequest(tmp_path / "data", ("AAPL",), **more), Lean(), researched.settings)
    assert not (tmp_path / "data").exists()
