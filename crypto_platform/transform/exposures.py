"""What the dashboards read: the marts that dbt's exposures name."""

from collections.abc import Mapping
from typing import Any

from crypto_platform.connectors.snowflake.query import query
from crypto_platform.settings import Settings
from crypto_platform.transform.project import manifest


def exposed() -> dict[str, Mapping[str, Any]]:
    """dbt's nodes that dashboards depend on, by unique id.

    Raises:
        FileNotFoundError: dbt's manifest was not made yet; says how to.
    """
    content: Any = manifest()
    named = (node for exposure in content["exposures"].values() for node in exposure["depends_on"]["nodes"])
    return {node: content["nodes"][node] for node in sorted(set(named))}


def missing(settings: Settings) -> list[str]:
    """Marts that the dashboards read and that are not in Snowflake, in lower case; all of them before the first run.

    Raises:
        QueryError: Snowflake refuses the login.
    """
    database = settings.snowflake_database
    # The emulator's `tables` lacks the views, which are in Snowflake's too.
    statement = " union ".join(
        f"select lower(table_name) from {database}.information_schema.{kind} where table_schema = 'MARTS'"  # noqa: S608
        for kind in ("tables", "views")
    )
    with query(settings, statement) as result:
        there = {row[0] for row in result.rows}
    return sorted({node["name"] for node in exposed().values()} - there)
