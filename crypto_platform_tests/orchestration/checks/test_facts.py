"""What a run's last checks say of a whole run, and of marts with something wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import dagster as dg
import pytest
from snowflake.connector import SnowflakeConnection

from crypto_platform.cli.runs import Run
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.fact_checks import differing_days, incomplete_sessions
from crypto_platform.dagster_instance.home import dagster_home
from crypto_platform.orchestration.checks import stages
from crypto_platform.orchestration.checks.facts import FACT_RECONCILIATION, SESSION_COMPLETENESS, shown
from crypto_platform.settings import Settings

DAY, NEXT = date(2026, 5, 1), date(2026, 5, 2)


@pytest.fixture
def connection(platform_settings: Settings, crypto_day: Run) -> Iterator[SnowflakeConnection]:
    with connect(platform_settings) as opened:
        yield opened


@contextmanager
def undone(connection: SnowflakeConnection, statement: str) -> Iterator[None]:
    """The statement's effect, for this session and as long as the block."""
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    cursor.execute(statement)
    yield
    cursor.execute("ROLLBACK")


def test_a_run_evaluates_every_check_of_its_stages_and_all_pass(platform_settings: Settings, crypto_day: Run) -> None:
    found: dict[str, dg.AssetCheckEvaluation] = {}
    materialisation: dg.AssetMaterialization | None = None
    with dg.DagsterInstance.from_config(str(dagster_home(platform_settings))) as instance:
        for record in instance.get_records_for_run(crypto_day.run_id).records:
            event = record.event_log_entry.dagster_event
            if event and event.is_step_materialization and event.asset_key == dg.AssetKey(["raw", "crypto_bars"]):
                materialisation = event.step_materialization_data.materialization
            if event and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                evaluation = event.asset_check_evaluation_data
                found[evaluation.check_name] = evaluation
    ours = [
        check.name for check in (*stages.ALPACA, *stages.KAFKA, *stages.RAW, FACT_RECONCILIATION, SESSION_COMPLETENESS)
    ]
    assert set(ours) <= set(found)
    assert [(name, found[name].description) for name in found if not found[name].passed] == []
    assert {found[name].metadata["days"].value for name in ours} == {"2026-05-01 to 2026-05-01"}
    assert materialisation
    metadata = materialisation.metadata
    assert metadata["dagster/partition_row_count"].value == 1440
    newest = metadata["sample_bars"]
    assert isinstance(newest, dg.TableMetadataValue)
    assert newest.records[0].data["bar_start"] == "2026-05-01T23:59:00"


def test_a_bar_that_is_no_fact_is_found(connection: SnowflakeConnection) -> None:
    assert differing_days(connection, ["crypto", "us_equity"], DAY, NEXT) == []
    lost = "DELETE FROM MARTS.FCT_BARS WHERE feed = 'crypto' AND bar_start = '2026-05-01 12:00'"
    with undone(connection, lost):
        rows = differing_days(connection, ["crypto", "us_equity"], DAY, NEXT)
    assert rows == [{"day": DAY, "feed": "crypto", "symbol": "BTC/USD", "in_ledger": 1440, "in_facts": 1439}]
    result = shown(FACT_RECONCILIATION, DAY, DAY, rows)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert result.description == (
        "1 days and symbols fall short, first crypto BTC/USD on 2026-05-01: in ledger 1,440, in facts 1,439"
    )
    assert result.metadata["remediation"].value == (
        "crypto-platform materialize --feed crypto --from 2026-05-01 --to 2026-05-02"
    )


def test_a_session_that_lacks_a_bar_is_found(connection: SnowflakeConnection) -> None:
    assert incomplete_sessions(connection, DAY, NEXT) == []
    lost = "UPDATE MARTS.FCT_COMPLETENESS SET actual_bars = 1439, missing_bars = 1 WHERE bar_date = '2026-05-01'"
    with undone(connection, lost):
        rows = incomplete_sessions(connection, DAY, NEXT)
    assert [(row["day"], row["expected"], row["actual"]) for row in rows] == [(DAY, 1440, 1439)]
    assert shown(SESSION_COMPLETENESS, DAY, DAY, rows).severity == dg.AssetCheckSeverity.WARN


def test_a_session_through_which_a_stock_was_halted_is_not_said_to_lack_bars(connection: SnowflakeConnection) -> None:
    """New York's session of 2026-05-01, 13:30 to 20:00 UTC."""
    cursor = connection.cursor()
    halt = (
        "INSERT INTO MARTS.FCT_TRADING_HALTS (feed, symbol, halted_at, resumed_at) VALUES ('us_equity', 'HALT', %s, %s)"
    )

    def found(*halts: tuple[str, str | None]) -> int:
        cursor.execute("DELETE FROM MARTS.FCT_TRADING_HALTS WHERE symbol = 'HALT'")
        for times in halts:
            cursor.execute(halt, times)
        return len(incomplete_sessions(connection, DAY, NEXT))

    cursor.execute("BEGIN")
    for table, changed in {
        "DIM_SYMBOLS": "'XNYS' AS calendar",
        "FCT_COMPLETENESS": "'us_equity' AS asset_class, 26 AS expected_bars, 0 AS actual_bars, 26 AS missing_bars",
    }.items():
        cursor.execute(
            f"INSERT INTO MARTS.{table} SELECT * REPLACE ('us_equity' AS feed, 'HALT' AS symbol, {changed}) "
            f"FROM MARTS.{table} WHERE symbol = 'BTC/USD'"
        )
    assert found() == 1
    assert found(("2026-04-30 15:00", None)) == 0
    assert found(("2026-05-01 13:30", "2026-05-01 20:00")) == 0
    assert found(("2026-05-01 13:31", None)) == 1
    assert found(("2026-05-01 13:00", "2026-05-01 19:59")) == 1
    cursor.execute("ROLLBACK")
