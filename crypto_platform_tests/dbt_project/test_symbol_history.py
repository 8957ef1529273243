"""Tickers that change hands: which security each was, and what follows from it."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.fact_checks import symbol_periods
from crypto_platform.market.symbol_history import is_in_use
from crypto_platform_tests.dbt_project.test_increment import assert_equals_full_refresh
from crypto_platform_tests.dbt_project.warehouse import Warehouse

FEED = "us_equity_daily"
OBSERVED = pd.Timestamp("2026-06-01")
BUILD = ("build", "--exclude-resource-type", "unit_test")
HOLIDAYS = ["2022-01-17", "2022-02-21", "2022-04-15", "2022-05-30"]
SESSIONS = [
    day.date() for day in pd.bdate_range("2022-01-03", "2022-06-30", freq="C", holidays=[*HOLIDAYS, "2022-06-20"])
]
FUND_ENDS, RENAMED, MERGED, REUSED = date(2022, 1, 31), date(2022, 6, 9), date(2022, 3, 15), date(2022, 5, 2)


def days(symbol: str, start: date, end: date, first_close: float) -> pd.DataFrame:
    """A bar each session of [start, end), a percent higher than the one before."""
    sessions = [day for day in SESSIONS if start <= day < end]
    close = [first_close * 1.01**n for n in range(len(sessions))]
    starts = pd.to_datetime(sessions).tz_localize("America/New_York").tz_convert("UTC").tz_localize(None)
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close))
    return frame.assign(symbol=symbol, timeframe="1Day", bar_start=starts.astype("datetime64[us]"), volume=100.0)


def action(action_type: str, symbol: str, day: date, **fields: Any) -> dict[str, Any]:
    """One without an ex-date, as Alpaca's changes of name and removals are."""
    named = {"action_id": f"{action_type}:{symbol}:{day}", "process_date": str(day), "ex_date": None}
    return {"action_type": action_type, "symbol": symbol} | named | fields


def rows(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    frame = warehouse.query(query).astype(object)
    return [tuple(row) for row in frame.where(frame.notna(), None).itertuples(index=False)]


BARS = [
    # A fund, until it takes another ticker; Facebook comes to META later.
    days("META", SESSIONS[0], FUND_ENDS, 12.0),
    days("METV", FUND_ENDS, date(2022, 7, 1), 12.3),
    days("FB", SESSIONS[0], RENAMED, 300.0),
    days("META", RENAMED, date(2022, 7, 1), 300 * 1.01 ** len([day for day in SESSIONS if day < RENAMED])),
    # One that is bought, whose ticker another takes without a word from Alpaca.
    days("LSI", SESSIONS[0], MERGED, 100.0),
    days("LSI", REUSED, date(2022, 7, 1), 20.0),
    days("EXR", SESSIONS[0], date(2022, 7, 1), 150.0),
    days("GONE", SESSIONS[0], MERGED, 1.0),
]
ACTIONS = [
    action("name_change", "META", FUND_ENDS, new_symbol="METV", cusip="53656G357", new_cusip="53656G357"),
    action("name_change", "FB", RENAMED, new_symbol="META", cusip="30303M102", new_cusip="30303M103"),
    action("stock_merger", "LSI", MERGED, new_symbol="EXR", old_rate=1, new_rate=0.895, cusip="53223X107",
           new_cusip="30225T102"),
    action("worthless_removal", "GONE", MERGED, cusip="078771300"),
    # A company of the same ticker and another CUSIP.
    action("name_change", "EXR", RENAMED, new_symbol="EXR", cusip="30225T102", new_cusip="30225T103"),
]  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    warehouse = new_warehouse("SYMBOL_HISTORY")
    warehouse.load(FEED, pd.concat(BARS), OBSERVED)
    warehouse.act(FEED, OBSERVED, *ACTIONS)
    warehouse.dbt(*BUILD)
    return warehouse


def test_each_ticker_has_a_row_for_each_of_its_securities(warehouse: Warehouse) -> None:
    found = rows(
        warehouse,
        "select symbol, valid_from, valid_to, security_id, cusip, predecessor_symbol, successor_symbol, end_reason "
        "from MARTS.DIM_SYMBOL_HISTORY order by symbol, valid_from nulls first",
    )
    assert found == [
        ("EXR", None, None, "EXR", "30225T103", None, None, None),
        ("FB", None, RENAMED, "FB", "30303M102", None, "META", "name_change"),
        ("GONE", None, MERGED, "GONE", "078771300", None, None, "worthless_removal"),
        ("LSI", None, MERGED, "LSI", "53223X107", None, "EXR", "stock_merger"),
        ("LSI", REUSED, None, f"LSI:{MERGED}", None, None, None, None),
        ("META", None, FUND_ENDS, "META", "53656G357", None, "METV", "name_change"),
        ("META", RENAMED, None, "FB", "30303M103", "FB", None, None),
        ("METV", FUND_ENDS, None, "META", "53656G357", "META", None, None),
    ]
    newest = rows(warehouse, "select symbol, security_id, valid_from, is_active from MARTS.DIM_SYMBOLS order by symbol")
    assert newest == [
        ("EXR", "EXR", None, True),
        ("FB", "FB", None, False),
        ("GONE", "GONE", None, False),
        ("LSI", f"LSI:{MERGED}", REUSED, True),
        ("META", "FB", RENAMED, True),
        ("METV", "META", FUND_ENDS, True),
    ]


def test_nothing_is_missing_where_there_was_no_security(warehouse: Warehouse) -> None:
    assert rows(warehouse, "select * from MARTS.FCT_GAPS where gap_class <> 'market_closed'") == []
    assert rows(warehouse, "select * from MARTS.FCT_COMPLETENESS where missing_bars > 0") == []
    counts = dict(rows(warehouse, "select symbol, count(*) from MARTS.FCT_COMPLETENESS group by symbol"))
    assert counts == pd.concat(BARS).groupby("symbol").size().to_dict()
    behind = dict(rows(warehouse, "select symbol, sessions_behind from MARTS.DATA_FRESHNESS"))
    assert {symbol for symbol, sessions in behind.items() if sessions == 0} == {"FB", "GONE"}


def test_the_checks_know_which_tickers_are_in_use(warehouse: Warehouse) -> None:
    with connect(warehouse.settings) as connection:
        periods = symbol_periods(connection, FEED)
        assert symbol_periods(connection, "crypto") == {}
    assert set(periods) == {"FB", "GONE", "LSI", "META", "METV"}
    expected = {(frame["symbol"][0], day.date()) for frame in BARS for day in frame["bar_start"]}
    assert {(s, day) for s in {s for s, _ in expected} for day in SESSIONS if is_in_use(periods, s, day)} == expected


def test_before_the_first_build_no_ticker_ended(new_warehouse: Callable[[str], Warehouse]) -> None:
    with connect(new_warehouse("NOT_BUILT").settings) as connection:
        assert symbol_periods(connection, FEED) == {}


SPLIT, PAID = date(2022, 6, 15), date(2022, 6, 22)
LATE = [
    # After the change of name Facebook splits its shares and pays; the fund, whose ticker it took, has no part in it.
    {"action_type": "forward_split", "symbol": "META", "ex_date": str(SPLIT), "old_rate": 1, "new_rate": 2},
    {"action_type": "cash_dividend", "symbol": "META", "ex_date": str(PAID), "rate": 3.0},
]


def security(*frames: pd.DataFrame) -> pd.DataFrame:
    """A security's closes by day, adjusted for the late actions by pandas."""
    bars = pd.concat(frames)
    closes = pd.DataFrame(
        {"symbol": bars["symbol"].tolist(), "close": bars["close"].tolist()}, bars["bar_start"].dt.date
    )
    closes["close_split"] = closes["close"] / [2 if day < SPLIT else 1 for day in closes.index]
    factor = 1 - 3 / closes.loc[:PAID, "close"].iloc[-2]
    closes["close_total_return"] = closes["close_split"] * [factor if day < PAID else 1 for day in closes.index]
    closes["total_return"] = closes["close_total_return"].pct_change()
    return closes


def test_a_series_goes_on_through_a_change_of_name_and_not_into_another_company(
    new_warehouse: Callable[[str], Warehouse],
) -> None:
    """The change of name and what came after it are known late: only what they concern is made anew."""
    warehouse = new_warehouse("SECURITIES")
    facebook_split = days("META", SPLIT, date(2022, 7, 1), BARS[3]["close"].iloc[-1] / 2)
    bars = [*BARS[:3], BARS[3][BARS[3]["bar_start"] < str(SPLIT)], facebook_split, *BARS[4:]]
    warehouse.load(FEED, pd.concat(bars), OBSERVED)
    warehouse.act(FEED, OBSERVED, ACTIONS[0], *ACTIONS[2:])
    models = ("fct_returns_1d", "fct_bars_1d_adjusted", "int_bar_scores")
    warehouse.build(*models)
    warehouse.query("create table RAW.RETURNS_BEFORE as select * from MARTS.FCT_RETURNS_1D")
    warehouse.query("update MARTS.FCT_RETURNS_1D set drawdown_days = -1")
    warehouse.act(FEED, OBSERVED + pd.Timedelta(days=1), ACTIONS[1], *LATE)
    warehouse.build(*models)
    made_anew = "select distinct symbol from MARTS.FCT_RETURNS_1D where drawdown_days >= 0 order by symbol"
    assert rows(warehouse, made_anew) == [("FB",), ("META",)]

    found = warehouse.query(
        "select bars.*, returns.total_return from MARTS.FCT_BARS_1D_ADJUSTED as bars "
        "inner join MARTS.FCT_RETURNS_1D as returns using (feed, symbol, bar_date) order by bar_date"
    ).set_index("bar_date")
    facebook = found[found["security_id"] == "FB"]
    expected = security(bars[2], bars[3], facebook_split)
    assert facebook["symbol"].tolist() == expected["symbol"].tolist()
    assert facebook["symbol"].nunique() == 2
    for name in ("close_split", "close_total_return", "total_return"):
        np.testing.assert_allclose(facebook[name].astype(float), expected[name], rtol=1e-9, err_msg=name)
    fund = found[(found["symbol"] == "META") & (found["security_id"] != "FB")]
    assert (fund["close_total_return"] == fund["close"]).all() and len(fund) == len(BARS[0])
    # The company that took the ticker of one that was bought has a series of its own.
    taken = found[(found["symbol"] == "LSI") & (found.index >= REUSED)]
    assert pd.isna(taken["total_return"].iloc[0]) and set(taken["security_id"]) == {f"LSI:{MERGED}"}
    warehouse.query("delete from MARTS.FCT_RETURNS_1D where drawdown_days = -1")
    before = "select * from RAW.RETURNS_BEFORE where symbol not in ('FB', 'META')"
    warehouse.query(f"insert into MARTS.FCT_RETURNS_1D {before}")
    assert_equals_full_refresh(warehouse, *models)
