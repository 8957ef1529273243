"""dbt's target `snowflake`, which an account gets, run on the emulator: what the emulator's own target leaves out.

Its login is turned to the emulator, nothing else. The emulator refuses what sqlglot has no grammar for, and here every
statement is parsed once more.
"""

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import sqlglot
from snowflake import connector
from snowflake.connector.cursor import SnowflakeCursor
from sqlglot import exp

from crypto_platform.connectors.snowflake import service_keys
from crypto_platform.connectors.snowflake.connection import connection_args
from crypto_platform.sandbox.fakesnow_patches import without_grammar
from crypto_platform.settings import Settings
from crypto_platform.transform.project import manifest
from crypto_platform_tests import factories
from crypto_platform_tests.dbt_project.warehouse import Warehouse, recording

pytestmark = [pytest.mark.slow, pytest.mark.sandbox]

# One of each materialization, with the tests of a table: what is made by the adapter's or the project's own SQL.
BUILT = ("fct_bars_1d", "symbols_snapshot")

# Of tests those of these tables alone.
OF_THESE = ("--indirect-selection", "cautious", "--exclude-resource-type", "unit_test")


class Production(Warehouse):
    """A warehouse that dbt takes for an account."""

    def environment(self) -> dict[str, str]:
        key = self.scratch / "keys" / "svc_dbt.p8"
        if not key.exists():
            service_keys.generate(key.parent, ["SVC_DBT"])
        login = {"SNOWFLAKE_ACCOUNT": "org-account", "SNOWFLAKE_PRIVATE_KEY_FILE": str(key)}
        return self.settings.environment() | login

    def _manifest(self) -> Any:
        # What the project is depends on the target.
        return None


@pytest.fixture(scope="module")
def production(snowflake: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Production, list[str]]]:
    """The warehouse after two builds, the second of an increment, and what dbt sent."""
    settings = snowflake.model_copy(update={"snowflake_database": factories.feed_name().upper()})
    warehouse = Production(settings, tmp_path_factory.mktemp("production"))
    warehouse.create()
    sent: list[str] = []
    connect, execute = connector.connect, SnowflakeCursor.execute

    def to_the_emulator(**arguments: Any) -> Any:
        if arguments.get("account") != "org-account":
            return connect(**arguments)
        return connect(**connection_args(settings))

    def recording_execute(cursor: SnowflakeCursor, command: str, *values: Any, **options: Any) -> Any:
        sent.append(command)
        # fakesnow takes a snapshot's columns for ambiguous: it is parsed, and not run.
        run = "SELECT 1" if command.lstrip().lower().startswith("merge into") else command
        return execute(cursor, run, *values, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connector, "connect", to_the_emulator)
        patch.setattr(SnowflakeCursor, "execute", recording_execute)
        bars = recording("BTC-USD_1Min")
        days = bars["bar_start"].dt.normalize()
        first, second = sorted(days.unique())[:2]
        for day in (first, second):
            warehouse.load("crypto", bars[days == day], pd.Timestamp(day) + pd.Timedelta(days=2))
            sent.clear() if day == first else None
            warehouse.dbt("build", "--select", *(f"+{name}" for name in BUILT), *OF_THESE)
        yield warehouse, sent


def one(statement: str) -> exp.Expression:
    # The connector puts the values in place of %s.
    return without_grammar.single(sqlglot.parse_one(statement.replace("%s", "''"), dialect="snowflake"))


def test_every_statement_that_an_account_would_get_parses(production: tuple[Production, list[str]]) -> None:
    _, sent = production
    assert len(sent) > 50
    for statement in sent:
        is_command = any(isinstance(node, exp.Command) for node in one(statement).walk())
        assert not is_command or without_grammar.match(statement), statement


@pytest.mark.parametrize(
    "branch",
    [
        r"create or replace temporary table .*__dbt_tmp",
        r"create or replace transient table ",
        r"create or replace +view ",
        r"merge into .*SNAPSHOTS",
        r"comment on ",
        r"TEST_FAILURES",
        r"^begin",
        r"^delete from .*MARTS",
        r"^insert into .*MARTS",
        r"^commit",
    ],
)
def test_the_branches_of_an_account_were_taken(production: tuple[Production, list[str]], branch: str) -> None:
    _, sent = production
    assert any(re.search(branch, statement.strip(), re.IGNORECASE) for statement in sent)


def test_every_node_compiles_to_a_query_for_an_account(production: tuple[Production, list[str]]) -> None:
    warehouse, _ = production
    warehouse.dbt("compile")
    compiled = sorted((warehouse.scratch / "target" / "compiled").rglob("*.sql"))
    nodes: Any = manifest()["nodes"]
    expected = [n for n in nodes.values() if n["resource_type"] in ("model", "snapshot", "test")]
    assert len(compiled) >= len(expected) * 0.9
    for path in compiled:
        assert isinstance(one(path.read_text()), exp.Query), path


def test_two_builds_gave_the_days_of_both(production: tuple[Production, list[str]]) -> None:
    warehouse, _ = production
    assert len(warehouse.table("MARTS.FCT_BARS_1D")) == 2
