"""What builds take in one after the other equals what one build makes of everything at once."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from snowflake.connector.errors import ProgrammingError

from crypto_platform.connectors.snowflake import connection
from crypto_platform_tests.connectors.snowflake.relay import cutting_relay
from crypto_platform_tests.dbt_project.warehouse import Warehouse, made_of, recording

OBSERVED = pd.Timestamp("2026-06-01")
# What remembers: each value is made of the one before.
AVERAGES = ("fct_indicators_1h", "fct_indicators_1d", "fct_returns_1d", "int_bar_scores")


def days(frame: pd.DataFrame, start: str, end: str) -> pd.DataFrame:
    """The bars in [start, end)."""
    return frame[(frame["bar_start"] >= start) & (frame["bar_start"] < end)]


def corrected(frame: pd.DataFrame, start: pd.Timestamp, **values: float) -> pd.DataFrame:
    """The one bar of `frame` that begins at `start`, with other values."""
    bar = frame[frame["bar_start"] == start]
    assert len(bar) == 1
    return bar.assign(**values)


def marts(warehouse: Warehouse) -> dict[str, pd.DataFrame]:
    """Every table of INTERMEDIATE and MARTS by name; views tell of the time at which they are asked."""
    names = warehouse.query(
        "select table_schema || '.' || table_name as name from information_schema.tables "
        "where table_schema in ('INTERMEDIATE', 'MARTS') and table_type = 'BASE TABLE'"
    )["name"]
    return {name: warehouse.table(name) for name in names}


def assert_equals_full_refresh(warehouse: Warehouse, *models: str) -> None:
    """Every table that these models, or all, and what they are made of make, row for row and value for value."""
    built = marts(warehouse)
    warehouse.dbt("run", "--full-refresh", *made_of(models))
    afresh = marts(warehouse)
    assert built.keys() == afresh.keys()
    for name, table in built.items():
        pd.testing.assert_frame_equal(table, afresh[name], check_exact=True, obj=name)


def await_unlocked(warehouse: Warehouse, table: str) -> None:
    """Wait until the dead session's transaction was aborted; until then the rows it deleted are locked."""
    with connection.connect(warehouse.settings) as session:
        deadline = time.monotonic() + 60
        while True:
            try:
                session.cursor().execute("begin")
                session.cursor().execute(f"delete from MARTS.{table}")
            except ProgrammingError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            else:
                return
            finally:
                session.cursor().execute("rollback")


def run_killed_at(warehouse: Warehouse, table: str) -> None:
    """Run dbt in a process that is killed before the table's insert, after its delete."""
    # dbt quotes nothing: insert into DATABASE.MARTS.fct_bars ("FEED", …)
    statement = rf"insert into \S+\.MARTS\.{table} "
    with cutting_relay(warehouse.settings.sandbox_snowflake_port, statement, "kill") as relay:
        environment = warehouse.environment() | {"SANDBOX_SNOWFLAKE_PORT": str(relay.server_port)}
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dbt"), "run", *made_of([table]), *warehouse.arguments()],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
        )
        relay.victim = process.pid
        assert process.wait() != 0
    assert relay.fired, "the build ended before it came to the insert"


def test_days_out_of_order_repeats_and_corrections(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("OUT_OF_ORDER")
    bitcoin, spy = recording("BTC-USD_1Min"), recording("SPY_15Min")
    warehouse.dbt("build", "--exclude-resource-type", "unit_test")
    assert warehouse.table("MARTS.FCT_BARS_1D").empty

    # Each feed by a run of its own.
    warehouse.load("crypto", days(bitcoin, "2026-03-05", "2026-03-07"), OBSERVED)
    warehouse.dbt("run")
    warehouse.load("us_equity", days(spy, "2025-04-01", "2025-04-02"), OBSERVED)
    warehouse.dbt("run", "--vars", "{start: 2025-04-01, end: 2025-04-02}")
    # An old day, half of it, beside a window that has nothing new; the evening that ends a New York day.
    warehouse.load("crypto", days(bitcoin, "2026-03-02", "2026-03-02 12:00"), OBSERVED)
    warehouse.load("us_equity", days(spy, "2025-04-02", "2025-04-04"), OBSERVED)
    warehouse.dbt("run", "--vars", "{start: 2026-03-06, end: 2026-03-07}")
    warehouse.load("crypto", days(bitcoin, "2026-03-02 12:00", "2026-03-03"), OBSERVED)
    warehouse.dbt("run", "--vars", "{start: 2026-03-02, end: 2026-03-03}")
    # Corrections outside the window, one of them of a bar's evening; what was observed earlier changes nothing.
    noon = pd.Timestamp("2026-03-05 12:00")
    later = OBSERVED + pd.Timedelta(hours=1)
    warehouse.load("crypto", corrected(bitcoin, noon, high=99_999.0, volume=1234.5), later)
    warehouse.load("us_equity", corrected(spy, pd.Timestamp("2025-04-01 13:30"), open=1.0, low=1.0), later)
    early = corrected(bitcoin, noon, high=88_888.0)
    warehouse.load("crypto", early, OBSERVED - pd.Timedelta(hours=1))
    warehouse.dbt("build", "--exclude-resource-type", "unit_test", "--vars", "{start: 2026-03-06, end: 2026-03-07}")

    bars = warehouse.query(f"select * from MARTS.FCT_BARS where bar_start = '{noon}'")
    assert bars["high"].tolist() == [99_999.0]
    daily = warehouse.query("select * from MARTS.FCT_BARS_1D order by bar_date").set_index("bar_date")
    assert daily.loc[noon.date(), "high"] == 99_999.0
    assert daily.loc[pd.Timestamp("2025-04-01").date(), "open"] == 1.0
    assert len(warehouse.table("MARTS.FCT_BARS")) == 3 * 1440 + len(days(spy, "2025-04-01", "2025-04-04"))
    assert_equals_full_refresh(warehouse)


def test_averages_go_on_from_a_long_history(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("LONG_HISTORY")
    bitcoin = recording("BTC-USD_1Min")
    warehouse.load("crypto", days(bitcoin, "2026-03-01", "2026-05-30"), OBSERVED)
    warehouse.build(*AVERAGES)
    warehouse.load("crypto", days(bitcoin, "2026-05-30", "2026-06-01"), OBSERVED)
    warehouse.dbt("run", *made_of(AVERAGES), "--vars", "{start: 2026-05-30, end: 2026-06-01}")
    correction = corrected(bitcoin, pd.Timestamp("2026-05-20 12:59"), low=70_000.0, close=70_000.0)
    warehouse.load("crypto", correction, OBSERVED + pd.Timedelta(hours=1))
    warehouse.build(*AVERAGES)
    assert len(warehouse.table("MARTS.FCT_INDICATORS_1H")) == 92 * 24
    assert_equals_full_refresh(warehouse, *AVERAGES)


def test_a_build_killed_between_delete_and_insert_heals(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("KILLED")
    bitcoin = recording("BTC-USD_1Min")
    warehouse.load("crypto", days(bitcoin, "2026-03-05", "2026-03-07"), OBSERVED)
    warehouse.build("fct_bars_1d")
    warehouse.load(
        "crypto", corrected(bitcoin, pd.Timestamp("2026-03-05 12:00"), high=99_999.0), OBSERVED + pd.Timedelta(hours=1)
    )
    # The second build goes on where the first was cut off.
    for table in ("fct_bars", "fct_bars_1d"):
        before = warehouse.table(f"MARTS.{table}")
        run_killed_at(warehouse, table)
        pd.testing.assert_frame_equal(warehouse.table(f"MARTS.{table}"), before)
        await_unlocked(warehouse, table)
    warehouse.build("fct_bars_1d")
    assert warehouse.table("MARTS.FCT_BARS_1D")["high"].max() == 99_999.0
    assert_equals_full_refresh(warehouse, "fct_bars_1d")


def test_a_feed_that_was_never_loaded_counts_as_empty(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("NEVER_LOADED")
    warehouse.query("drop table RAW.CRYPTO_BARS")
    warehouse.load("us_equity", days(recording("SPY_15Min"), "2025-04-01", "2025-04-02"), OBSERVED)
    warehouse.dbt("build", "--exclude-resource-type", "unit_test")
    assert set(warehouse.table("MARTS.FCT_BARS_1D")["symbol"]) == {"SPY"}


def test_half_a_window_is_refused(new_warehouse: Callable[[str], Warehouse]) -> None:
    warehouse = new_warehouse("HALF_A_WINDOW")
    with pytest.raises(AssertionError, match="needs both start and end"):
        warehouse.dbt("run", "--vars", "{start: 2026-03-01}")
