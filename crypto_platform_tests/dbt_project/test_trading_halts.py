"""Halts of stocks: what they make of gaps, of prices and of lateness, on recordings with holes cut into them."""

import runpy
from collections.abc import Callable
from datetime import timedelta

import pandas as pd
import pytest

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.fact_checks import halted_at
from crypto_platform_tests.dbt_project.test_increment import assert_equals_full_refresh, days
from crypto_platform_tests.dbt_project.test_quality import without
from crypto_platform_tests.dbt_project.warehouse import PROJECT, Warehouse, recording

OBSERVED = pd.Timestamp("2025-11-27 02:00")
HALT = {"status_code": "2", "status_message": "Trading Halt", "reason_code": "M", "tape": "B"}
RESUME = {"status_code": "3", "status_message": "Resume", "tape": "B"}


def judged(warehouse: Warehouse) -> list[tuple[str, str, int]]:
    gaps = warehouse.query("select * from MARTS.FCT_GAPS where gap_class <> 'market_closed' order by gap_start")
    return [(f"{g.gap_start:%H:%M}-{g.gap_end:%H:%M}", g.gap_class, g.missing_bars) for g in gaps.itertuples()]


def test_the_part_of_a_gap_that_lies_in_a_halt_is_a_class_of_its_own(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("HALTS")
    spy = days(recording("SPY_15Min"), "2025-11-26", "2025-11-27")
    warehouse.load("us_equity", without(spy, ("2025-11-26 15:00", "2025-11-26 17:00")), OBSERVED, source="stream")
    # A feed that was never told a status has no table of them, as every warehouse before.
    warehouse.query("drop table if exists RAW.US_EQUITY_TRADING_STATUSES")
    warehouse.build("fct_gaps")
    assert judged(warehouse) == [("15:00-17:00", "not_ingested", 8)]

    # Whole bars: of those at 15:15 and 16:00 a part could be traded in.
    warehouse.tell("us_equity", {"symbol": "SPY", "status_at": "2025-11-26 15:16:30.25", **HALT})
    warehouse.build("fct_gaps")
    lasting = [("15:00-15:30", "not_ingested", 2), ("15:30-17:00", "halted", 6)]
    assert judged(warehouse) == lasting
    (halt,) = warehouse.table("MARTS.FCT_TRADING_HALTS").itertuples()
    # Nobody told that it resumed, and it trades.
    assert (halt.halted_at, halt.resumed_at) == (
        pd.Timestamp("2025-11-26 15:16:30.25"),
        pd.Timestamp("2025-11-26 17:00"),
    )

    warehouse.tell("us_equity", {"symbol": "SPY", "status_at": "2025-11-26 16:02", **RESUME})
    warehouse.build("fct_gaps")
    ended = [("15:00-15:30", "not_ingested", 2), ("15:30-16:00", "halted", 2), ("16:00-17:00", "not_ingested", 4)]
    assert judged(warehouse) == ended
    # Told once more, and a second halt, shorter than a bar.
    warehouse.tell("us_equity", {"symbol": "SPY", "status_at": "2025-11-26 16:02", **RESUME})
    warehouse.tell("us_equity", {"symbol": "SPY", "status_at": "2025-11-26 16:20", **HALT})
    warehouse.tell("us_equity", {"symbol": "SPY", "status_at": "2025-11-26 16:31", **RESUME})
    # It gets a bar later on, whose gap is cut in two.
    warehouse.load("us_equity", days(spy, "2025-11-26 16:30", "2025-11-26 16:45"), OBSERVED, source="stream")
    warehouse.build("fct_gaps")
    assert judged(warehouse) == [
        *ended[:2],
        ("16:00-16:30", "not_ingested", 2),
        ("16:45-17:00", "not_ingested", 1),
    ]
    assert len(warehouse.table("MARTS.FCT_TRADING_HALTS")) == 2
    assert_equals_full_refresh(warehouse, "fct_gaps")


@pytest.fixture(scope="module")
def halted(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    """SPY and a copy of it up to a noon, from which on the copy is halted; the market goes on for two days."""
    warehouse = new_warehouse("HALTED")
    spy = days(recording("SPY_15Min"), "2026-04-15", "2026-04-21")
    copy = spy[spy["bar_start"] < "2026-04-17 15:00"].assign(symbol="COPY")
    warehouse.load("us_equity", pd.concat([spy, copy]), pd.Timestamp("2026-04-21"))
    warehouse.tell("us_equity", {"symbol": "COPY", "status_at": "2026-04-17 15:01", **HALT})
    warehouse.build("live_prices", "data_freshness")
    return warehouse


def test_a_halted_stock_is_not_behind(halted: Warehouse) -> None:
    """But for the halt it would be by the session of 20 April too."""
    behind = halted.table("MARTS.DATA_FRESHNESS").set_index("symbol")["sessions_behind"]
    before = halted.query(
        "select count(*) as sessions from MARTS.DIM_SESSIONS where calendar = 'XNYS' and is_open "
        "and session_date > '2026-04-20' and closes_at <= sysdate()"
    )["sessions"][0]
    assert behind.to_dict() == {"SPY": before, "COPY": 0}


def test_who_is_halted_at_a_moment_is_known_to_the_freshness_checks(halted: Warehouse) -> None:
    since = pd.Timestamp("2026-04-17 15:01", tz="UTC").to_pydatetime()
    with connect(halted.settings) as connection:
        for minutes, found in ((-1, {}), (0, {"COPY": since}), (10_000, {"COPY": since})):
            assert halted_at(connection, "us_equity", since + timedelta(minutes=minutes)) == found
        assert halted_at(connection, "us_equity_daily", since) == {}


@pytest.mark.last
def test_a_live_price_says_since_when_it_is_halted_until_it_trades(halted: Warehouse) -> None:
    def since() -> dict[str, pd.Timestamp]:
        prices = halted.table("MARTS.LIVE_PRICES").set_index("symbol")["halted_since"]
        return dict(prices.dropna())

    assert since() == {"COPY": pd.Timestamp("2026-04-17 15:01")}
    # By the stream, without a build; its resumption was not heard.
    bar = days(recording("SPY_15Min"), "2026-04-20 15:00", "2026-04-20 15:15").assign(symbol="COPY")
    halted.load("us_equity", bar, pd.Timestamp("2026-04-21 01:00"), source="stream")
    assert since() == {}
    halted.tell("us_equity", {"symbol": "COPY", "status_at": "2026-04-20 15:16", **HALT})
    assert since() == {"COPY": pd.Timestamp("2026-04-20 15:16")}
    halted.tell("us_equity", {"symbol": "COPY", "status_at": "2026-04-20 15:20", **RESUME})
    assert since() == {}


def test_dbt_and_the_stream_agree_on_what_halts_a_stock() -> None:
    script = runpy.run_path(str(PROJECT / "macros" / "make_status_codes.py"))
    assert script["MACROS"].read_text() == script["macros"](), "run python dbt_project/macros/make_status_codes.py"
