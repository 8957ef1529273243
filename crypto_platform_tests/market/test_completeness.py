from datetime import UTC, date, datetime, timedelta

import pytest

from crypto_platform.market.completeness import Shortfall, expected_bars, shortfalls
from crypto_platform.market.feed_spec import FeedSpec

CRYPTO = FeedSpec(asset_class="crypto", symbols=("BTC/USD",), start_date="2025-01-01")
STOCKS = FeedSpec(asset_class="us_equity", symbols=("SPY",), timeframe="15Min", start_date="2025-01-01")
AFTER = datetime(2026, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "day", "bars"),
    [
        (CRYPTO, "2026-04-25", 1440),
        (STOCKS, "2026-04-24", 26),
        (STOCKS, "2026-04-25", 0),  # Saturday
        (STOCKS, "2026-11-27", 14),  # closes at 13:00
        (STOCKS.model_copy(update={"timeframe": "1Hour"}), "2026-04-24", 6),  # 6.5 hours have room for six
        (STOCKS.model_copy(update={"timeframe": "1Day"}), "2026-04-24", 1),
        (STOCKS.model_copy(update={"timeframe": "1Day"}), "2026-04-25", 0),
        (STOCKS.model_copy(update={"timeframe": "1Day"}), "2026-11-27", 1),
        (CRYPTO.model_copy(update={"timeframe": "1Day"}), "2026-04-25", 1),
    ],
)
def test_how_many_bars_a_day_has_room_for(spec: FeedSpec, day: str, bars: int) -> None:
    assert expected_bars(spec, date.fromisoformat(day), AFTER) == bars


def test_of_a_day_that_is_not_over_what_has_ended_counts() -> None:
    day = date(2026, 4, 24)
    assert expected_bars(CRYPTO, day, datetime(2026, 4, 24, 6, tzinfo=UTC)) == 360
    assert expected_bars(STOCKS, day, datetime(2026, 4, 24, 6, tzinfo=UTC)) == 0
    assert expected_bars(STOCKS, day, datetime(2026, 4, 24, 14, 40, tzinfo=UTC)) == 4


@pytest.mark.parametrize(("spec", "begins"), [(CRYPTO, 0), (STOCKS, 4)])
def test_a_days_bar_is_expected_once_it_was_over_when_it_was_asked_for(spec: FeedSpec, begins: int) -> None:
    """Up to `complete_until`, which is the start of the running day's bar where that day was asked for."""
    daily = spec.model_copy(update={"timeframe": "1Day"})
    start = datetime(2026, 4, 24, begins, tzinfo=UTC)
    assert expected_bars(daily, start.date(), start) == 0
    assert expected_bars(daily, start.date(), start + timedelta(seconds=1)) == 1


def test_crypto_falls_short_by_a_bar_and_a_stock_by_a_whole_session() -> None:
    day, closed = date(2026, 4, 24), date(2026, 4, 25)
    assert shortfalls(CRYPTO, {day: {"BTC/USD": 1440, "ETH/USD": 1439}}, AFTER) == [
        Shortfall(day, "ETH/USD", 1440, 1439)
    ]
    counts = {day: {"SPY": 20, "AAPL": 0}, closed: {"SPY": 0, "AAPL": 0}}
    assert shortfalls(STOCKS, counts, AFTER) == [Shortfall(day, "AAPL", 26, 0)]
