"""What a statement's tag says: of its session, and of the work that it is sent for."""

import pytest

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.query_tag import tagged
from crypto_platform.settings import Settings


@pytest.mark.sandbox
def test_each_statement_says_who_sends_it_and_what_for(
    snowflake: Settings, tags: list[tuple[str, dict[str, str]]]
) -> None:
    with connect(snowflake, "checks") as connection:
        connection.cursor().execute("select 1")
        with tagged(component="load", feed="crypto"):
            connection.cursor().execute("select 2")
            with pytest.raises(ZeroDivisionError), tagged(load_id="one"):
                connection.cursor().execute("select 3")
                raise ZeroDivisionError
            connection.cursor().execute("select 4")
        connection.cursor().execute("select 5")
    session = {"app": "crypto_platform", "component": "checks"}
    load = {"app": "crypto_platform", "component": "load", "feed": "crypto"}
    statements = [("select 1", session), ("select 2", load), ("select 3", load | {"load_id": "one"})]
    assert tags == [*statements, ("select 4", load), ("select 5", session)]
