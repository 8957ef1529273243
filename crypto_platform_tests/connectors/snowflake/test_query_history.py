"""What was sent, by component: counted by the emulator as it comes, asked of an account in its own words."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlglot
from snowflake.connector.errors import ProgrammingError

from crypto_platform.connectors.snowflake import query_history
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.settings import Settings


@pytest.mark.sandbox
def test_the_emulator_counts_each_statement_once_by_component(snowflake: Settings) -> None:
    def counts() -> dict[str, int]:
        return {one.component: one.count for one in query_history.statements(snowflake, datetime.now(UTC))}

    before = counts()
    with connect(snowflake, "counted") as connection:
        connection.cursor().execute("select 1")
        with pytest.raises(ProgrammingError):
            connection.cursor().execute("select * from nowhere")
        # As a session of dbt's: without a tag.
        connection.cursor().execute("select 3", _statement_params={})
    after = counts()
    assert {name: after[name] - before.get(name, 0) for name in ("counted", "dbt")} == {"counted": 2, "dbt": 1}
    (own,) = (one for one in query_history.statements(snowflake, datetime.now(UTC)) if one.component == "counted")
    assert timedelta(0) <= own.last - own.first < timedelta(minutes=5)
    assert query_history.warehouse_size(snowflake) == "X-Small"


def test_an_account_is_asked_in_snowflakes_words() -> None:
    statement = query_history._STATEMENT.replace("%s", "'x'")
    (parsed,) = sqlglot.parse(statement, dialect="snowflake")
    assert parsed is not None
    assert "QUERY_HISTORY" in parsed.sql("snowflake")
