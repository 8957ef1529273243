"""A market's days against the labels of Alpaca's own recorded daily bars, and around New York's clock changes."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.market.bars import AssetClass, Timeframe
from crypto_platform.market.market_days import day_ends, local_day, midnight, running_bar
from crypto_platform.settings import PROJECT_ROOT

DAY, MINUTE = Timeframe.parse("1Day"), Timeframe.parse("1Min")


def test_a_stocks_day_begins_where_alpaca_labels_it() -> None:
    labels = [t.to_pydatetime() for t in pd.read_parquet(PROJECT_ROOT / "recordings" / "SPY_1Day.parquet")["timestamp"]]
    assert {f"{label:%H:%M}" for label in labels} == {"04:00", "05:00"}
    assert [midnight("us_equity", label.date()) for label in labels] == labels


@pytest.mark.parametrize(
    ("asset_class", "day", "begins", "hours"),
    [
        ("crypto", "2026-03-08", "2026-03-08T00:00", 24),
        ("us_equity", "2026-03-07", "2026-03-07T05:00", 24),
        ("us_equity", "2026-03-08", "2026-03-08T05:00", 23),
        ("us_equity", "2026-03-09", "2026-03-09T04:00", 24),
        ("us_equity", "2026-11-01", "2026-11-01T04:00", 25),
        ("us_equity", "1998-01-02", "1998-01-02T05:00", 24),
    ],
)
def test_a_day_is_from_midnight_to_midnight(asset_class: AssetClass, day: str, begins: str, hours: int) -> None:
    found = date.fromisoformat(day)
    start = datetime.fromisoformat(begins).replace(tzinfo=UTC)
    assert midnight(asset_class, found) == start
    assert day_ends(asset_class, DAY, found) - start == timedelta(hours=hours)
    assert day_ends(asset_class, MINUTE, found) == datetime.combine(found + timedelta(1), datetime.min.time(), UTC)


@given(
    st.datetimes(datetime(1998, 1, 2), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(["crypto", "us_equity"]),
)
def test_the_running_day_holds_the_moment_and_is_not_over(moment: datetime, asset_class: AssetClass) -> None:
    start = running_bar(asset_class, DAY, moment)
    assert start <= moment < day_ends(asset_class, DAY, start.date())
    # A New York day begins within the UTC day of its date.
    assert start.date() == local_day(asset_class, moment)
    assert running_bar(asset_class, DAY, start) == start
    assert running_bar(asset_class, DAY, start - timedelta(microseconds=1)) < start


def test_minutes_lie_on_the_epochs_grid() -> None:
    moment = datetime(2026, 3, 8, 7, 29, 59, 999999, UTC)
    assert running_bar("us_equity", Timeframe.parse("15Min"), moment) == datetime(2026, 3, 8, 7, 15, tzinfo=UTC)
