"""How many statements were sent to Snowflake, by the component of their query tags."""

import http.client
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.credits import SIZE
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.settings import LOOPBACK, Settings

# Where the emulator tells its own.
EMULATOR_PATH = "/statement-counts"
# More are not told: https://docs.snowflake.com/en/sql-reference/functions/query_history
MOST = 10_000

_STATEMENT = """
SELECT try_parse_json(query_tag):component::VARCHAR, count(*), date_part(epoch_millisecond, min(start_time)) / 1000,
    date_part(epoch_millisecond, max(end_time)) / 1000
FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY(END_TIME_RANGE_START => %s::TIMESTAMP_LTZ, RESULT_LIMIT => %s))
WHERE database_name = current_database()
GROUP BY 1
"""


@dataclass(frozen=True)
class Statements:
    """The statements of one component: how many, and when (UTC) the first began and the last ended."""

    component: str
    count: int
    first: datetime
    last: datetime


def statements(settings: Settings, since: datetime) -> list[Statements]:
    """What was sent to the database since a moment (UTC), on an account by the login's own history, by component.

    The emulator tells all that it was sent since it started. dbt's sessions have no tag there.

    Raises:
        OSError, snowflake.connector.errors.Error: Snowflake does not tell.
    """
    if settings.embedded_snowflake:
        found = [(name or "dbt", *figures) for name, *figures in _of_emulator(settings)]
    else:
        with connect(settings) as connection:
            found = rows(connection.cursor(), _STATEMENT, (since.isoformat(), MOST))
    return sorted(
        (
            Statements(name or "unspecified", int(count), *(datetime.fromtimestamp(float(t), UTC) for t in times))
            for name, count, *times in found
        ),
        key=lambda one: (-one.count, one.component),
    )


def warehouse_size(settings: Settings) -> str:
    """The size of the session's warehouse, such as X-Small; of the emulator, which has none, the set-up's.

    Raises:
        LookupError: the session has no warehouse, or may not see it.
        snowflake.connector.errors.Error: Snowflake does not tell.
    """
    if settings.embedded_snowflake:
        return SIZE
    with connect(settings) as connection:
        cursor = connection.cursor()
        ((name,),) = rows(cursor, "SELECT current_warehouse()")
        # https://docs.snowflake.com/en/sql-reference/sql/show-warehouses
        cursor.execute("SHOW WAREHOUSES LIKE %s", (name or "",))
        columns = [column.name for column in cursor.description]
        for row in cursor.fetchall():
            found = dict(zip(columns, row, strict=True))
            if found["name"] == name:
                return str(found["size"])
    raise LookupError(f"the session's warehouse {name} is not to be seen")


def _of_emulator(settings: Settings) -> list[list[Any]]:
    connection = http.client.HTTPConnection(LOOPBACK, settings.sandbox_snowflake_port, timeout=10)
    try:
        connection.request("GET", EMULATOR_PATH)
        found: list[list[Any]] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()
