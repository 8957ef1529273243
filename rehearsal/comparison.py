"""What every table of RAW and MARTS holds, and how two warehouses differ in it."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.settings import Settings

SCHEMAS = ("RAW", "MARTS")
# How the bars came, not what they are: see `unaccounted`.
_OF_LOADS = re.compile(r"RAW\.(LOADS|SCRATCH_\w+|\w+_OFFSETS)")
# Columns that say when, and by which run, message or load, a row came to be.
_OF_A_RUN = {
    *("LOAD_ID", "RUN_ID", "TOPIC_ID", "KAFKA_TOPIC", "KAFKA_PARTITION", "KAFKA_OFFSET"),
    *("APPLIED_AT", "COMPLETE_UNTIL", "LOADED_AT", "OBSERVED_AT", "RECORDED_AT", "REJECTED_AT", "REPLAYED_AT"),
    *("AMENDED_AT", "FIRST_KNOWN_AT", "KNOWN_AT", "TRACKED_SINCE", "TRACKED_SO_SINCE"),
}
# A row a request: a run that was started again asked again.
_OF_REQUESTS = {"RAW.REQUESTED_PARTITIONS"}
_BATCH = 50_000

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Contents:
    """A table's compared columns, and how often each row of them is there."""

    columns: tuple[str, ...]
    rows: Counter[Row]


@dataclass(frozen=True)
class Difference:
    """Rows of one table that are not there, are there more often, or that the other does not know, an example each."""

    table: str
    lost: int
    doubled: int
    other: int
    examples: tuple[Row, ...]

    def __str__(self) -> str:
        shown = "; ".join(str(row)[:300] for row in self.examples)
        return f"{self.table}: {self.lost} lost, {self.doubled} doubled, {self.other} other: {shown}"


def contents(settings: Settings) -> dict[str, Contents]:
    """Every table of SCHEMAS in the settings' Snowflake, by `SCHEMA.NAME`."""
    found: dict[str, Contents] = {}
    with connect(settings) as connection:
        cursor = connection.cursor()
        columns = rows(
            cursor,
            "SELECT c.table_schema, c.table_name, c.column_name FROM information_schema.columns AS c "
            "JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name "
            "WHERE c.table_schema IN (%s, %s) AND t.table_type = 'BASE TABLE' "
            "ORDER BY c.table_schema, c.table_name, c.ordinal_position",
            SCHEMAS,
        )
        named: dict[str, list[str]] = {}
        for schema, table, column in columns:
            named.setdefault(f"{schema}.{table}", [])
            if column not in _OF_A_RUN:
                named[f"{schema}.{table}"].append(column)
        for table, chosen in named.items():
            if _OF_LOADS.fullmatch(table) or not chosen:
                continue
            quoted = ", ".join(f'"{column}"' for column in chosen)
            cursor.execute(f"SELECT {quoted} FROM {table}")  # noqa: S608
            counted: Counter[Row] = Counter()
            while batch := cursor.fetchmany(_BATCH):
                counted.update(tuple(row) for row in batch)
            found[table] = Contents(tuple(chosen), Counter(set(counted)) if table in _OF_REQUESTS else counted)
    return found


def differences(expected: Mapping[str, Contents], found: Mapping[str, Contents]) -> list[Difference]:
    """How `found` differs from `expected`, a line a table that does; a table that is not there is empty."""
    told = []
    for table in sorted(expected.keys() | found.keys()):
        want = expected[table].rows if table in expected else Counter()
        have = found[table].rows if table in found else Counter()
        lost, more = want - have, have - want
        doubled = Counter({row: count for row, count in more.items() if row in want})
        other = more - doubled
        if lost or more:
            examples = [row for some in (lost, doubled, other) for row in list(some)[:1]]
            told.append(Difference(table, lost.total(), doubled.total(), other.total(), tuple(examples)))
    return told


def unaccounted(settings: Settings) -> list[str]:
    """What does not add up between the loads and the ledgers; empty when every message is accounted for once.

    A load's messages are new, unchanged or rejected; a ledger holds what its loads say is new, no message twice.
    """
    wrong = []
    with connect(settings) as connection:
        cursor = connection.cursor()
        sums = rows(
            cursor,
            "SELECT feed, topic, sum(message_count), sum(loaded), sum(unchanged), sum(rejected) FROM RAW.LOADS "
            "GROUP BY feed, topic ORDER BY topic",
        )
        for feed, topic, messages, loaded, unchanged, rejected in sums:
            if messages != loaded + unchanged + rejected:
                wrong.append(f"{topic}: {messages} messages, {loaded} new, {unchanged} unchanged, {rejected} rejected")
            ledger = f"RAW.{feed}_{topic.rpartition('.')[2]}".upper()
            ((held, different),) = rows(
                cursor,
                f"SELECT count(*), count(DISTINCT kafka_partition || '/' || kafka_offset) FROM {ledger}",  # noqa: S608
            )
            if held != loaded or held != different:
                wrong.append(f"{ledger}: {held} rows of {different} messages, where its loads brought {loaded}")
    return wrong
