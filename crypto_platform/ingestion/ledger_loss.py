"""Versions that the ledger no longer holds, deleted or dropped with its table: given up, to be loaded again.

What is gone would leave the loads' sum larger than the ledger for ever. A row of `RAW.LOADS` with what is lost, below
zero, makes the two equal again.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from crypto_platform.connectors.snowflake.ledger_checks import balance
from crypto_platform.connectors.snowflake.schema import REQUESTED_PARTITIONS
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.ingestion import offsets
from crypto_platform.ingestion.ledger import LoadIdentity, insert_load
from crypto_platform.market.bars import BARS

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


@dataclass(frozen=True)
class LedgerLoss:
    """How many versions were given up, and the UTC days of which bars are known to be gone."""

    versions: int
    days: list[date]


def give_up(connection: "SnowflakeConnection", load: LoadIdentity) -> LedgerLoss:
    """Record what the ledger lacks of its loads, and take back that Alpaca answered for these days.

    The caller holds the feed's loads. Where nothing is gone nothing changes.
    """
    lacking = balance(connection, load.feed).lacking
    if not lacking:
        return LedgerLoss(0, [])
    # First: killed in between, the next attempt does both.
    days = _take_back(connection, load.feed)
    unmoved = offsets.recorded(connection, load.feed, load.topic).next_offsets
    note = f"gone from {BARS.ledger(load.feed)}, deleted or dropped with the table; given up, to be loaded again"
    insert_load(connection.cursor(), load, unmoved, unmoved, loaded=-lacking, note=note)
    return LedgerLoss(lacking, days)


def _take_back(connection: "SnowflakeConnection", feed: str) -> list[date]:
    """Leave the days asked for of which the ledger lacks bars as asked for and not answered; returns them.

    Their gaps are ours again, not the vendor's.
    """
    cursor = connection.cursor()
    lost = (
        "SELECT requested.symbol, requested.timeframe, requested.partition_date FROM "
        "(SELECT symbol, timeframe, partition_date, max(record_count) AS bars "
        f"FROM {REQUESTED_PARTITIONS} WHERE feed = %s GROUP BY 1, 2, 3) requested "
        "LEFT JOIN (SELECT symbol, timeframe, bar_start::DATE AS day, count(DISTINCT bar_start) AS bars "
        f"FROM {BARS.ledger(feed)} GROUP BY 1, 2, 3) held "
        "ON requested.symbol = held.symbol AND requested.timeframe = held.timeframe "
        "AND requested.partition_date = held.day WHERE requested.bars > coalesce(held.bars, 0)"
    )
    days = rows(cursor, f"SELECT DISTINCT partition_date FROM ({lost}) lost ORDER BY 1", (feed,))
    cursor.execute(
        f"MERGE INTO {REQUESTED_PARTITIONS} r USING ({lost}) l ON r.feed = %s AND r.symbol = l.symbol "
        "AND r.timeframe = l.timeframe AND r.partition_date = l.partition_date "
        "WHEN MATCHED THEN UPDATE SET complete_until = r.partition_date::TIMESTAMP_NTZ",
        (feed, feed),
    )
    return [day for (day,) in days]
