"""RAW's tables are made once; of what is there no DDL is sent, for which a role would need CREATE."""

import pytest

from crypto_platform.connectors.snowflake import schema
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.market.bars import BARS
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.settings import Settings
from crypto_platform_tests import factories

pytestmark = pytest.mark.sandbox


def test_a_schema_that_is_there_is_only_looked_at(snowflake: Settings, sent: list[str]) -> None:
    settings = snowflake.model_copy(update={"snowflake_database": factories.feed_name().upper()})
    with connect(settings) as connection:
        schema.ensure_schema(connection, "stocks", BARS, CORPORATE_ACTIONS)
        assert any(statement.startswith("CREATE") for statement in sent)
        sent.clear()
        schema.ensure_schema(connection, "stocks", BARS, CORPORATE_ACTIONS)
        schema.ensure_schema(connection, "stocks")
        assert [statement for statement in sent if statement.startswith(("CREATE", "ALTER"))] == []


def test_only_what_lacks_is_made(snowflake: Settings, sent: list[str]) -> None:
    settings = snowflake.model_copy(update={"snowflake_database": factories.feed_name().upper()})
    with connect(settings) as connection:
        schema.ensure_schema(connection, "stocks")
        connection.cursor().execute(f"DROP TABLE {schema.LOADS}")
        sent.clear()
        schema.ensure_schema(connection, "stocks")
        (made_again,) = (statement for statement in sent if statement.startswith("CREATE"))
        assert made_again.startswith(f"CREATE TABLE IF NOT EXISTS {schema.LOADS} (")
