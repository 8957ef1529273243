"""The package of cost marts, on tables that stand in for ACCOUNT_USAGE, with the columns that Snowflake documents."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest
import sqlglot

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.transform.costs import COSTS_DIR, SUMMARY
from crypto_platform_tests.dbt_project.warehouse import PROJECT, Warehouse

# https://docs.snowflake.com/en/sql-reference/account-usage, the columns that are read.
ACCOUNT_USAGE = {
    "QUERY_HISTORY": "query_id VARCHAR, query_text VARCHAR, query_tag VARCHAR, warehouse_name VARCHAR, "
    "start_time TIMESTAMP_TZ, execution_time NUMBER(38, 0)",
    "QUERY_ATTRIBUTION_HISTORY": "query_id VARCHAR, credits_attributed_compute FLOAT",
    "WAREHOUSE_METERING_HISTORY": "start_time TIMESTAMP_TZ, warehouse_name VARCHAR, credits_used_compute NUMBER(38, 9)",
}
HERE = ["--vars", "{account_usage_database: COSTS}"]
MODELS = sorted(COSTS_DIR.glob("models/*.sql"))
TAG = '{"app": "crypto_platform", "component": "load", "feed": "crypto"}'


@pytest.fixture(scope="module")
def metered(new_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    warehouse = new_warehouse("COSTS")
    with connect(warehouse.settings) as session:
        session.cursor().execute("create schema ACCOUNT_USAGE")
        for name, columns in ACCOUNT_USAGE.items():
            session.cursor().execute(f"create table ACCOUNT_USAGE.{name} ({columns})")
    return warehouse


def dbt(warehouse: Warehouse, *arguments: str) -> Sequence[Any]:
    from dbt.cli.main import dbtRunner

    folders = ["--project-dir", str(COSTS_DIR), "--profiles-dir", str(PROJECT), "--quiet"]
    folders += ["--log-path", str(warehouse.scratch / "costs")]
    if "--target-path" not in arguments:
        folders += ["--target-path", str(warehouse.scratch / "costs")]
    with patch.dict(os.environ, warehouse.environment()):
        outcome = dbtRunner().invoke([*arguments, *folders])
    results = list(getattr(outcome.result, "results", []))
    assert outcome.success, [f"{r.node.name}: {r.message}" for r in results] or repr(outcome.exception)
    return results


def use(warehouse: Warehouse, day: str, queries: int, attributed: float, metered: float) -> None:
    """Queries of a load in the day's first hour, of which each is attributed so much, and the hour's metering."""
    with connect(warehouse.settings) as session:
        for number in range(queries):
            start, query = f"{day} 00:{number:02}:00+00:00", f"{day}/{number}/{attributed}"
            session.cursor().execute(
                "insert into ACCOUNT_USAGE.QUERY_HISTORY values (%s, 'select 1', %s, 'LOADING', %s, 500)",
                (query, TAG, start),
            )
            session.cursor().execute(
                "insert into ACCOUNT_USAGE.QUERY_ATTRIBUTION_HISTORY values (%s, %s)", (query, attributed)
            )
        session.cursor().execute(
            "insert into ACCOUNT_USAGE.WAREHOUSE_METERING_HISTORY values (%s, 'LOADING', %s)",
            (f"{day} 00:00:00+00:00", metered),
        )


@pytest.fixture(scope="module")
def built(metered: Warehouse) -> Counter[str]:
    """How many nodes of each kind were built, on two days of use."""
    use(metered, "2026-03-01", 4, 0.125, 1.0)
    use(metered, "2026-03-09", 2, 0.25, 1.0)
    return Counter(str(result.node.resource_type) for result in dbt(metered, "build", *HERE))


def test_credits_by_day_stay_those_metered_as_days_and_late_rows_come(metered: Warehouse, built: Counter[str]) -> None:
    assert built == {"unit_test": 2, "test": 1, "model": 2}
    # What is late by less than the days that are computed again, and by more.
    use(metered, "2026-03-10", 1, 0.5, 2.0)
    use(metered, "2026-03-08", 1, 0.5, 0.75)
    use(metered, "2026-03-01", 1, 0.5, 5.0)
    dbt(metered, "build", "--exclude-resource-type", "unit_test", *HERE)
    found = metered.table("MARTS.FCT_QUERY_COSTS")
    wide = found.pivot_table("credits", "usage_date", "component", "sum").astype(float)
    wide.index = wide.index.astype(str)
    expected = pd.DataFrame(
        {"idle": [0.5, 0.25, 0.5, 1.5], "load": [0.5, 0.5, 0.5, 0.5]},
        index=["2026-03-01", "2026-03-08", "2026-03-09", "2026-03-10"],
    )
    pd.testing.assert_frame_equal(wide, expected, check_names=False)
    assert set(found.loc[found["component"] == "load", "feed"]) == {"crypto"}
    summary = metered.query(SUMMARY % 3)
    assert summary[["component", "credits"]].astype(str).values.tolist() == [
        ["idle", "1.5"],
        ["load", "0.5"],
        ["idle", "0.5"],
        ["load", "0.5"],
        ["load", "0.5"],
        ["idle", "0.25"],
    ]


def test_nothing_of_it_is_there_on_the_emulator(metered: Warehouse) -> None:
    assert dbt(metered, "build", "--target-path", str(metered.scratch / "none")) == []


def test_what_snowflake_is_sent_parses(metered: Warehouse, built: Counter[str]) -> None:
    """By sqlglot's Snowflake dialect, as dbt compiled it."""
    compiled = sorted((metered.scratch / "costs" / "compiled").glob("*/models/*.sql"))
    assert [path.name for path in compiled] == [path.name for path in MODELS]
    for path in compiled:
        (statement,) = sqlglot.parse(path.read_text(), dialect="snowflake")
        assert isinstance(statement, sqlglot.exp.Query), path
