"""Marts of a test's own, to be changed as loads and builds would."""

from collections.abc import Callable
from itertools import count

import pytest

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.settings import Settings
from crypto_platform_tests.dbt_project.warehouse import Warehouse

READ = (
    *("dim_sessions", "dim_symbol_history", "dim_symbols", "fct_bars", "fct_bars_1d", "fct_bars_1h", "fct_bars_15m"),
    *("fct_corporate_actions", "fct_day_factors"),
)
_number = count()


@pytest.fixture(scope="session")
def copied_marts(researched: Warehouse) -> Callable[[], Settings]:
    """Copies of what `researched` has, in a database of its own; returns the settings that read it."""

    def copy() -> Settings:
        database = f"EXPORTED_{next(_number)}"
        settings = researched.settings.model_copy(update={"snowflake_database": database})
        with connect(settings) as session, session.cursor() as cursor:
            cursor.execute("create schema MARTS")
            for table in READ:
                cursor.execute(f"create table MARTS.{table} as select * from RESEARCH.MARTS.{table}")
        return settings

    return copy


def change(settings: Settings, *statements: str) -> None:
    """Do to the marts what a build would."""
    with connect(settings) as session, session.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
