"""Questions to the ledger that prove a load: which bars are in, none off its grid, no message twice."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from crypto_platform.bars import Timeframe
from crypto_platform.snowflake.schema import bars_table

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


def bars_by_day(
    connection: "SnowflakeConnection", feed: str, timeframe: Timeframe, start: date, end: date
) -> dict[date, dict[str, int]]:
    """How many different bars the ledger holds per UTC day of [start, end) and symbol."""
    found: dict[date, dict[str, int]] = {}
    cursor = connection.cursor()
    cursor.execute(
        f"SELECT bar_start::date, symbol, count(DISTINCT bar_start) FROM {bars_table(feed)} "
        "WHERE timeframe = %s AND bar_start >= %s AND bar_start < %s GROUP BY 1, 2",
        (timeframe.name, start.isoformat(), end.isoformat()),
    )
    for day, symbol, count in cursor:
        found.setdefault(day, {})[symbol] = count
    return found


def off_grid(connection: "SnowflakeConnection", feed: str, timeframe: Timeframe, start: date, end: date) -> int:
    """How many versions of [start, end) do not start on the timeframe's grid."""
    return _count(
        connection,
        f"SELECT count(*) FROM {bars_table(feed)} WHERE timeframe = %s AND bar_start >= %s AND bar_start < %s "
        "AND mod(date_part(epoch_second, bar_start), %s) <> 0",
        (timeframe.name, start.isoformat(), end.isoformat(), timeframe.seconds),
    )


def repeated_messages(connection: "SnowflakeConnection", feed: str, load_id: str) -> int:
    """How many messages of a load the ledger holds more than once, counted over all loads of the topic's life."""
    table = bars_table(feed)
    return _count(
        connection,
        f"SELECT count(*) FROM (SELECT kafka_partition, kafka_offset FROM {table} WHERE load_id = %s "
        "GROUP BY 1, 2 HAVING count(*) > 1)",
        (load_id,),
    )


def newest_bars(
    connection: "SnowflakeConnection", table: str, timeframe: Timeframe, since: date
) -> dict[str, datetime]:
    """The newest bar_start, UTC, of each symbol of a ledger that has bars from the day `since` on."""
    return _newest(connection, f"{table} WHERE timeframe = %s AND bar_start >= %s", (timeframe.name, since.isoformat()))


def newest_facts(
    connection: "SnowflakeConnection", feed: str, timeframe: Timeframe, since: date
) -> dict[str, datetime]:
    """The same of the feed's rows of `MARTS.FCT_BARS`."""
    return _newest(
        connection,
        "MARTS.FCT_BARS WHERE feed = %s AND timeframe = %s AND bar_start >= %s",
        (feed, timeframe.name, since.isoformat()),
    )


def _newest(connection: "SnowflakeConnection", where: str, values: tuple[object, ...]) -> dict[str, datetime]:
    cursor = connection.cursor()
    cursor.execute(f"SELECT symbol, max(bar_start) FROM {where} GROUP BY symbol", values)
    return {symbol: newest.replace(tzinfo=UTC) for symbol, newest in cursor}


def _count(connection: "SnowflakeConnection", statement: str, values: tuple[object, ...]) -> int:
    cursor = connection.cursor()
    cursor.execute(statement, values)
    return int(cursor.fetchall()[0][0])
