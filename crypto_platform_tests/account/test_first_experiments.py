"""What only an account shows, to be tried first on one: docs/explanation/snowflake.md lists the seven by these numbers.

`make test-snowflake` runs them on the account of the environment. The suite runs on the emulator those that it has
something to answer to, so that the code is known to run; what it answers proves nothing about Snowflake.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crypto_platform.connectors.kafka.producer import publish
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.offsets_table import offsets_table
from crypto_platform.ingestion import topic_load
from crypto_platform.ingestion.ledger import LoadNotCommittedError
from crypto_platform.ingestion.offsets import ConcurrentLoadError
from crypto_platform.market.bars import BARS
from crypto_platform.settings import Settings
from crypto_platform.streaming.loader import Loader
from crypto_platform_tests import factories
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

pytestmark = pytest.mark.slow
Tell = Callable[..., None]


class OfTarget(Warehouse):
    """A warehouse that dbt reaches by its settings, an account's too."""

    def environment(self) -> dict[str, str]:
        return self.settings.environment()

    def _manifest(self) -> Any:
        return super()._manifest() if self.settings.embedded_snowflake else None


def test_1_a_waiting_update_looks_at_the_newest_row(target: Settings, feed: str, on_account: bool) -> None:
    """The second UPDATE waits for the first's transaction and then finds no row to move; of two MERGE one inserts.

    https://docs.snowflake.com/en/sql-reference/transactions#resource-locking
    """
    table = offsets_table(feed)
    move = f"UPDATE {table} SET next_offset = %s WHERE topic = 't' AND next_offset = 0"
    enroll = (
        f"MERGE INTO {table} AS o USING (SELECT 'm' AS topic) AS n ON o.topic = n.topic "
        "WHEN NOT MATCHED THEN INSERT (topic, topic_id, kafka_partition, next_offset, updated_at) "
        "VALUES (n.topic, 'id', 0, 0, SYSDATE())"
    )
    with connect(target) as first, connect(target) as second, ThreadPoolExecutor() as pool:
        first.cursor().execute(f"INSERT INTO {table} SELECT 't', 'id', 0, 0, SYSDATE()")
        first.cursor().execute("BEGIN")
        assert first.cursor().execute(move, (10,)).rowcount == 1
        waiting = pool.submit(lambda: second.cursor().execute(move, (20,)).rowcount)
        with pytest.raises(TimeoutError):
            waiting.result(1)
        first.cursor().execute("COMMIT")
        assert waiting.result(60) == 0
        # The emulator has no MERGE in a transaction.
        first.cursor().execute("BEGIN" if on_account else "COMMIT")
        first.cursor().execute(enroll)
        waiting = pool.submit(lambda: second.cursor().execute(enroll).rowcount)
        time.sleep(1)
        first.cursor().execute("COMMIT")
        with suppress(Exception):
            waiting.result(60)
        found = first.cursor().execute(f"SELECT topic, next_offset FROM {table} ORDER BY topic").fetchall()
    assert found == [("m", 0), ("t", 10)]


def test_2_a_load_keeps_microseconds_nulls_and_bytes(target: Settings, feed: str) -> None:
    """By PUT and COPY, or by the external stage where one is set.

    https://docs.snowflake.com/en/sql-reference/sql/copy-into-table, USE_LOGICAL_TYPE and BINARY_AS_TEXT
    """
    observed = factories.OBSERVED + timedelta(microseconds=123_457)
    poison = b"\x00\xff\xfe"
    publish(
        target,
        feed,
        [factories.day({"BTC/USD": [factories.bar(0), factories.bar(1, vw=None), poison]}, observed)],
        "run",
    )
    report = topic_load.load(target, feed, "run")
    assert (report.loaded, report.rejected) == (2, 1)
    vwap, at = factories.DATA_COLUMNS.index("vwap"), factories.DATA_COLUMNS.index("observed_at")
    rows = factories.ledger(target, feed)
    assert [row[vwap] for row in rows] == [factories.bar(0)["vw"], None]
    assert {row[at] for row in rows} == {observed.replace(tzinfo=None)}
    ((_, _, value),) = factories.rejects(target, feed)
    assert bytes(value) == poison


def test_3_dbt_builds_twice_with_snapshot_and_failing_tests(
    target: Settings, feed: str, tmp_path: Path, on_account: bool
) -> None:
    """A second build of nothing new changes nothing; rows that fail a test are kept in TEST_FAILURES on an account.

    https://docs.getdbt.com/reference/resource-configs/store_failures
    """
    warehouse = OfTarget(target, tmp_path)
    warehouse.create()
    bars = recording("BTC-USD_1Min")
    bars = bars[bars["bar_start"] < bars["bar_start"].min() + pd.Timedelta(days=1)].head(600)
    warehouse.load("crypto", bars, pd.Timestamp("2026-06-01"))
    chosen = ["--select", "+fct_bars_1d", "+symbols_snapshot", "--exclude-resource-type", "unit_test"]
    # Tests of these tables alone.
    chosen += ["--indirect-selection", "cautious"]
    tables = ("MARTS.FCT_BARS_1D", "SNAPSHOTS.SYMBOLS_SNAPSHOT")
    warehouse.dbt("build", *chosen)
    before = [warehouse.table(name) for name in tables]
    assert all(len(table) for table in before)
    warehouse.dbt("build", *chosen)
    for name, table in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(warehouse.table(name), table)
    with connect(target) as connection:
        connection.cursor().execute("UPDATE MARTS.FCT_BARS_1D SET high = low - 1")
    with pytest.raises(AssertionError, match="prices_make_sense"):
        warehouse.dbt("test", "--select", "fct_bars_1d")
    if on_account:
        assert len(warehouse.table("TEST_FAILURES.FCT_BARS_1D_PRICES_MAKE_SENSE"))


LOAD = """
import sys
from crypto_platform.ingestion import topic_load
from crypto_platform.settings import Settings
topic_load.load(Settings(), sys.argv[1], "killed")
"""


@pytest.mark.timeout(1_200)
def test_4_a_killed_load_gives_its_locks_back(target: Settings, feed: str, tell: Tell, on_account: bool) -> None:
    """Killed between BEGIN and COMMIT: the feed loads again once Snowflake has ended the dead session's transaction.

    After five minutes: https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions
    """
    publish(target, feed, [factories.day({"BTC/USD": [factories.bar(0)]})], "run")
    environment = {**os.environ, **target.environment(), "CRASH_AT": "after_offsets"}
    killed = subprocess.run([sys.executable, "-c", LOAD, feed], env=environment, capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    began, loaded, refused = time.monotonic(), None, 0
    while loaded is None and time.monotonic() - began < 900:
        try:
            loaded = topic_load.load(target, feed, "again").loaded
        except (ConcurrentLoadError, LoadNotCommittedError):
            refused += 1
            time.sleep(1)
    tell(seconds_until_it_loads_again=round(time.monotonic() - began, 1), loads_refused=refused)
    assert loaded == 1
    assert len(factories.ledger(target, feed)) == 1


def test_5_the_live_view_scans_few_partitions(
    target: Settings, feed: str, tmp_path: Path, tell: Tell, on_account: bool
) -> None:
    """Of the ledger LIVE_PRICES reads the partitions of its newest days.

    https://docs.snowflake.com/en/sql-reference/functions/get_query_operator_stats
    """
    if not on_account:
        pytest.skip("the emulator has no query profile")
    warehouse = OfTarget(target, tmp_path)
    warehouse.create()
    bars = recording("BTC-USD_1Min")
    for _, days in bars.groupby(bars["bar_start"].dt.to_period("W")):
        warehouse.load("crypto", days, pd.Timestamp("2026-06-01"))
    warehouse.build("live_prices")
    with connect(target) as connection:
        cursor = connection.cursor()
        cursor.execute("ALTER SESSION SET USE_CACHED_RESULT = FALSE")
        cursor.execute("SELECT * FROM MARTS.LIVE_PRICES")
        scans = cursor.execute(
            "SELECT operator_attributes:table_name::varchar, operator_statistics:pruning:partitions_scanned::int, "
            f"operator_statistics:pruning:partitions_total::int FROM TABLE(GET_QUERY_OPERATOR_STATS('{cursor.sfqid}')) "
            "WHERE operator_type = 'TableScan'"
        ).fetchall()
    tell(scans=scans)
    ledger = [(scanned, total) for table, scanned, total in scans if str(table).endswith("CRYPTO_BARS")]
    assert ledger and all(scanned < total for scanned, total in ledger)


def test_6_statements_and_seconds_of_a_load(
    target: Settings, feed: str, tell: Tell, on_account: bool, sent: list[str]
) -> None:
    """A steady load: 12 statements with an external stage, 14 without, and on the emulator two more."""
    for minute in (0, 1):
        publish(target, feed, [factories.day({"BTC/USD": [factories.bar(minute)]})], "run")
        sent.clear()
        began = time.monotonic()
        assert topic_load.load(target, feed, "run").loaded == 1
    tell(statements=len(sent), seconds=round(time.monotonic() - began, 1))
    assert len(sent) == (12 if target.snowflake_external_stage else 14) + (0 if on_account else 2)


@pytest.mark.timeout(2 * 3_600)
def test_7_an_hour_of_the_loader(target: Settings, feed: str, tell: Tell, on_account: bool) -> None:
    """A bar a minute for an hour, by the interval that an account has as its default; some seconds on the emulator.

    Credits: https://docs.snowflake.com/en/sql-reference/functions/warehouse_metering_history
    """
    bars, pause = (60, 60.0) if on_account else (3, 0.5)
    loads: list[topic_load.LoadReport] = []
    stop = threading.Event()
    loader = Loader(target, {feed: (BARS,)}, lambda _, report: loads.append(report))
    thread = threading.Thread(target=loader.run, args=(stop,))
    thread.start()
    try:
        for minute in range(bars):
            publish(target, feed, [factories.day({"BTC/USD": [factories.bar(minute)]})], "run")
            time.sleep(pause)
        until = time.monotonic() + 2 * target.loader_interval + 120
        while sum(report.loaded for report in loads) < bars and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        stop.set()
        thread.join()
    tell(bars=bars, loads=len(loads))
    assert len(factories.ledger(target, feed)) == bars
    if on_account:
        with connect(target) as connection:
            credits = connection.cursor().execute(
                "SELECT start_time, credits_used_compute, credits_used_cloud_services FROM TABLE("
                "INFORMATION_SCHEMA.WAREHOUSE_METERING_HISTORY(DATEADD('hour', -2, CURRENT_TIMESTAMP()), "
                "CURRENT_TIMESTAMP(), %s)) ORDER BY start_time",
                (target.snowflake_warehouse,),
            )
            tell(credits=credits.fetchall())
