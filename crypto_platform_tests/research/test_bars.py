"""Bars as they are read, beside what pandas makes of the same recordings."""

import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_platform.research import MarketData, UnknownNameError
from crypto_platform.research.market_data import BAR_COLUMNS, USUAL_BAR_COLUMNS
from crypto_platform_tests.research.known import CORRECTED, FIRST, LATE, MOMENTS, Known

ALL = ("1998-01-01", "2027-01-01")
STOCKS = [
    *(
        ("us_equity_daily", "AAPL", "1Day", adjustment, moment)
        for adjustment in ("raw", "split", "all")
        for moment in MOMENTS
    ),
    *(("us_equity", "AAPL", "15Min", "all", moment) for moment in MOMENTS),
    *(("us_equity", "AAPL", "1Day", "all", moment) for moment in ("first", "corrected", "now")),
    *(
        ("us_equity", "AAPL", "1Hour", adjustment, moment)
        for adjustment in ("raw", "all")
        for moment in ("late", "now")
    ),
    ("us_equity", "SPY", "1Hour", "all", "now"),
]


@pytest.mark.parametrize(("feed", "symbol", "timeframe", "adjustment", "moment"), STOCKS)
def test_stocks_are_what_pandas_makes_of_them(
    market: MarketData, known: Known, feed: str, symbol: str, timeframe: str, adjustment: Any, moment: str
) -> None:
    as_of = MOMENTS[moment]
    found = market.bars(symbol, *ALL, timeframe, adjustment, as_of, feed=feed).to_pandas()
    expected = known.expected(feed, symbol, timeframe, adjustment, as_of)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, check_dtype=False)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("timeframe", ["1Min", "5Min", "15Min", "1Hour", "1Day"])
def test_coins_are_what_pandas_makes_of_them(market: MarketData, known: Known, timeframe: str, moment: str) -> None:
    as_of = MOMENTS[moment]
    found = market.bars("BTC/USD", *ALL, timeframe, "all", as_of).to_pandas()
    expected = known.expected("crypto", "BTC/USD", timeframe, "raw", as_of)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, check_dtype=False)


def test_a_correction_is_seen_from_when_it_was_known_on(market: MarketData) -> None:
    minute = ("BTC/USD", datetime(2026, 3, 3, 8, 15, tzinfo=UTC), datetime(2026, 3, 3, 8, 16, tzinfo=UTC), "1Min")
    just_before = CORRECTED - timedelta(microseconds=1)
    (wrong,), (still,), (right,), (now,) = (
        market.bars(*minute, as_of=moment)["volume"].to_pylist() for moment in (FIRST, just_before, CORRECTED, None)
    )
    assert wrong == still == pytest.approx(100 * right)
    assert right == now
    # Apple's split of 2020 came last, and only then was 4 to 1 in the prices before it.
    day = ("AAPL", "2020-08-28", "2020-08-29", "1Day", "split")
    closes = [market.bars(*day, as_of=moment)["close"].to_pylist() for moment in (CORRECTED, LATE, None)]
    assert closes == [[pytest.approx(499.23)], [pytest.approx(499.23 / 4)], [pytest.approx(499.23 / 4)]]


COLUMNS = list(BAR_COLUMNS)
MINUTES = st.integers(-60, 3 * 1440 + 60)


@given(
    bounds=st.tuples(MINUTES, MINUTES).map(sorted),
    timeframe=st.sampled_from(["1Min", "5Min", "1Hour", "1Day"]),
    moment=st.sampled_from([None, LATE]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_range_has_the_bars_that_begin_in_it(
    market: MarketData, bounds: list[int], timeframe: str, moment: datetime | None
) -> None:
    start, end = (datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minutes) for minutes in bounds)
    everything = market.bars("BTC/USD", *ALL, timeframe, as_of=moment).to_pandas()
    found = market.bars("BTC/USD", start, end, timeframe, as_of=moment).to_pandas()
    expected = everything[(everything["bar_start"] >= start) & (everything["bar_start"] < end)]
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True))


def test_batches_are_the_table(market: MarketData, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Any = (["BTC/USD", "AAPL", "SPY"], "2020-01-01", "2027-01-01", "1Day", "all")
    with warnings.catch_warnings(action="ignore"):
        table = market.bars(*asked, columns=COLUMNS)
        with market.bar_batches(*asked, columns=COLUMNS) as batches:
            assert batches.schema == table.schema
            assert batches.read_all().equals(table)
    assert table.schema == pa.schema(list(BAR_COLUMNS.items()))
    assert set(table["feed"].to_pylist()) == {"crypto", "us_equity", "us_equity_daily"}
    key = table.select(["symbol", "bar_start"]).to_pylist()
    assert key == sorted(key, key=lambda row: (row["symbol"], row["bar_start"]))


def test_pandas_takes_it(market: MarketData) -> None:
    frame = market.bars("AAPL", "2020-01-01", "2021-01-01").to_pandas()
    assert str(frame["bar_start"].dtype) == "datetime64[us, UTC]"
    assert frame.shape == (253, len(USUAL_BAR_COLUMNS))


@pytest.mark.parametrize("as_of", [None, LATE])
@pytest.mark.parametrize("timeframe", ["1Min", "1Day"])
def test_an_empty_range_is_an_empty_table(market: MarketData, timeframe: str, as_of: datetime | None) -> None:
    for start, end in (("2026-03-01", "2026-03-01"), ("2001-01-01", "2001-01-02")):
        table = market.bars("BTC/USD", start, end, timeframe, as_of=as_of)
        assert table.num_rows == 0
        assert table.schema == market.bars("BTC/USD", "2026-03-01", "2026-03-02", timeframe).schema


def test_all_symbols_of_a_feed(market: MarketData) -> None:
    every, named = (
        market.bars(symbols, *ALL, "15Min", "all", as_of=as_of, feed="us_equity")
        for symbols, as_of in ((None, None), (["SPY", "AAPL", "SPY"], CORRECTED))
    )
    assert every.equals(named)
    assert market.bars(None, *ALL, "15Min", "all", as_of=CORRECTED, feed="us_equity").equals(named)


def test_it_only_reads_the_marts(market: MarketData, sent: list[str]) -> None:
    for as_of in (None, LATE):
        market.bars("AAPL", *ALL, "1Day", "all", as_of=as_of, feed="us_equity")
        market.actions("AAPL", as_of=as_of)
    market.symbols()
    market.universe("2026-03-02")
    market.sessions("2026-03-01", "2026-04-01")
    market.gaps("BTC/USD", *ALL)
    assert len(sent) > 8
    for statement in sent:
        words = statement.upper()
        assert words.split()[0] in ("SELECT", "WITH"), statement
        assert not {"RAW.", "STAGING.", "INTERMEDIATE."} & {word[: word.find(".") + 1] for word in words.split()}, (
            statement
        )


@pytest.mark.parametrize("as_of", [None, FIRST])
@pytest.mark.parametrize(
    ("by", "code"), [("all", ""), ("year", "%Y"), ("month", "%Y%m"), ("session", "%Y%m%d")], ids=lambda one: one or "0"
)
def test_partitions_count_the_bars(market: MarketData, by: Any, code: str, as_of: datetime | None) -> None:
    asked: Any = (["AAPL", "SPY"], *ALL, "15Min", "all", as_of)
    bars = market.bars(*asked, columns=["symbol", "bar_start", "bar_date"]).to_pandas()
    days = pd.to_datetime(bars["bar_date"]) if by == "session" else bars["bar_start"]
    period = days.dt.strftime(code).astype(int) if code else pd.Series(0, bars.index, name="period")
    counted = bars.groupby(["symbol", period.rename("period")]).size().rename("bars").reset_index()
    found = market.bar_partitions(*asked, by=by).to_pandas()
    pd.testing.assert_frame_equal(found[["symbol", "period", "bars"]], counted, check_dtype=False)


def test_a_partition_s_version_forgets_nothing(market: MarketData) -> None:
    """To the microsecond of one load among many."""
    asked: Any = ("BTC/USD", *ALL, "1Min")
    loaded = market.bars(*asked, columns=["loaded_at"])["loaded_at"].cast("int64").to_pylist()
    (partition,) = market.bar_partitions(*asked, by="all").to_pylist()
    assert partition["version"] == str(sum(loaded))


def test_a_partition_s_version_changes_with_its_bars_and_their_factors(market: MarketData) -> None:
    def versions(symbol: str, adjustment: Any, as_of: datetime, by: Any) -> dict[int, tuple[int, str]]:
        timeframe = "1Min" if "/" in symbol else "1Day"
        feed = None if "/" in symbol else "us_equity_daily"
        found = market.bar_partitions(symbol, *ALL, timeframe, adjustment, as_of, feed, by).to_pylist()
        return {row["period"]: (row["bars"], row["version"]) for row in found}

    def changed(*asked: Any) -> set[int]:
        before, after = (versions(*asked[:2], moment, asked[2]) for moment in (FIRST, CORRECTED))
        assert before.keys() == after.keys()
        return {period for period in before if before[period] != after[period]}

    assert changed("BTC/USD", "raw", "session") == {20260303}
    # The corrected day, and for total return all years up to the dividend that was amended.
    assert changed("AAPL", "raw", "year") == {2020}
    assert changed("AAPL", "split", "year") == {2020}
    assert changed("AAPL", "all", "year") == set(range(1998, 2022))
    with pytest.raises(UnknownNameError, match="no period 'week'"):
        market.bar_partitions("AAPL", *ALL, by="week")  # type: ignore[arg-type]
