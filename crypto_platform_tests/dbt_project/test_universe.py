"""Membership in dbt, beside pandas: ranges of days, and days of which no bar is missing because nobody asked."""

from collections.abc import Callable
from datetime import date

import pandas as pd
import pytest

from crypto_platform.connectors.snowflake import connection
from crypto_platform.connectors.snowflake.schema import MEMBERS
from crypto_platform.connectors.snowflake.statements import insert
from crypto_platform_tests.dbt_project.test_increment import days
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

FEED = "us_equity_daily"
FIRST, END = "2014-10-27", "2014-11-15"
# Out for a week, and with a missing session of its own after it.
AWAY = pd.date_range("2014-11-01", "2014-11-08")
MISSING = date(2014, 11, 12)
COLUMNS = {"feed": "VARCHAR", "day": "DATE", "symbol": "VARCHAR", "source": "VARCHAR", "observed_at": "TIMESTAMP_NTZ"}


@pytest.fixture(scope="module")
def members() -> pd.DataFrame:
    """AAPL but for a week, MSFT throughout; of the 10th nobody knows."""
    every = pd.date_range(FIRST, END, inclusive="left").difference([pd.Timestamp("2014-11-10")])
    own = {"AAPL": every.difference(AWAY), "MSFT": every}
    return pd.concat([pd.DataFrame({"symbol": s, "day": days}) for s, days in own.items()], ignore_index=True)


@pytest.fixture(scope="module")
def built(new_warehouse: Callable[[str], Warehouse], members: pd.DataFrame) -> Warehouse:
    warehouse = new_warehouse("UNIVERSE")
    bars = days(recording("AAPL_1Day_1998-2021"), FIRST, END)
    day = bars["bar_start"].dt.normalize()
    warehouse.load(FEED, bars[~day.isin(AWAY) & (day.dt.date != MISSING)], pd.Timestamp("2026-06-01"))
    rows = [
        (FEED, str(row.day.date()), row.symbol, "members.csv", f"{row.day.date()} 23:00:00")
        for row in members.itertuples()
    ]
    with connection.connect(warehouse.settings) as session:
        insert(session, MEMBERS, COLUMNS, rows)
    warehouse.dbt("build", "--exclude-resource-type", "unit_test")
    return warehouse


def test_ranges_are_the_days_in_a_row_and_no_more(built: Warehouse, members: pd.DataFrame) -> None:
    found = built.table("MARTS.DIM_UNIVERSE_MEMBERS")
    unfolded = [
        (row.symbol, day)
        for row in found.itertuples()
        for day in pd.date_range(row.valid_from, row.valid_to, inclusive="left")
    ]
    assert sorted(unfolded) == sorted(zip(members["symbol"], members["day"], strict=True))
    assert found.groupby("symbol").size().to_dict() == {"AAPL": 3, "MSFT": 2}
    current = found[found["is_current"]]
    assert set(current["symbol"]) == {"AAPL", "MSFT"}
    assert (current["valid_to"] == date.fromisoformat(END)).all()


def test_a_session_lacks_bars_only_of_its_members(built: Warehouse) -> None:
    gaps = built.query("select * from MARTS.FCT_GAPS where gap_class <> 'market_closed'")
    assert [start.date() for start in gaps["gap_start"]] == [MISSING]
    completeness = built.table("MARTS.FCT_COMPLETENESS")
    sessions = pd.bdate_range(FIRST, END, inclusive="left").difference(AWAY)
    assert completeness["bar_date"].tolist() == [day.date() for day in sessions]
    assert completeness.set_index("bar_date")["missing_bars"].to_dict() == {
        day.date(): int(day.date() == MISSING) for day in sessions
    }
