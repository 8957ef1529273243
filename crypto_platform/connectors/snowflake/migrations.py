"""What a release changed in tables that are there: numbered migrations, each applied once and recorded.

New tables are made by `schema.ensure_schema`. Each statement of a migration commits by itself and looks first whether
it is still to be done, so one that was cut off goes on, and two processes that start at once do each step once between
them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from crypto_platform.connectors.snowflake.offsets_table import offsets_ddl, offsets_table
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.market.dataset import check_feed

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

VERSIONS = "RAW.SCHEMA_VERSIONS"
VERSIONS_DDL = (
    f"CREATE TABLE IF NOT EXISTS {VERSIONS} "
    "(number NUMBER(38, 0) NOT NULL, description VARCHAR NOT NULL, applied_at TIMESTAMP_NTZ NOT NULL)"
)


class Change(Protocol):
    """One step of a migration."""

    def is_due(self, connection: "SnowflakeConnection") -> bool:
        """Whether it is still to be made."""
        ...

    def statements(self, connection: "SnowflakeConnection") -> list[str]:
        """What makes it; those that were run before a stop change nothing when they are run again."""
        ...


@dataclass(frozen=True)
class Rename:
    """A table, or with `column` one of its columns, under its old name, and the new name."""

    schema: str
    table: str
    to: str
    column: str | None = None

    def statements(self, connection: "SnowflakeConnection") -> list[str]:
        if self.column:
            return [f"ALTER TABLE {self.schema}.{self.table} RENAME COLUMN {self.column} TO {self.to}"]
        return [f"ALTER TABLE {self.schema}.{self.table} RENAME TO {self.schema}.{self.to}"]

    def is_due(self, connection: "SnowflakeConnection") -> bool:
        """Whether the old name is there."""
        condition, values = "table_schema = %s AND table_name = %s", [self.schema, self.table]
        if self.column:
            condition, values = f"{condition} AND column_name = %s", [*values, self.column]
        statement = f"SELECT count(*) FROM information_schema.columns WHERE {condition}"
        return bool(rows(connection.cursor(), statement, values)[0][0])


@dataclass(frozen=True)
class AddColumn:
    """A column that a table lacks."""

    schema: str
    table: str
    column: str
    type: str

    def statements(self, connection: "SnowflakeConnection") -> list[str]:
        return [f"ALTER TABLE {self.schema}.{self.table} ADD COLUMN {self.column} {self.type}"]

    def is_due(self, connection: "SnowflakeConnection") -> bool:
        """Whether the table is there without the column."""
        statement = (
            "SELECT count(*), count_if(column_name = %s) FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s"
        )
        ((columns, own),) = rows(connection.cursor(), statement, (self.column, self.schema, self.table))
        return bool(columns) and not own


@dataclass(frozen=True)
class SplitByFeed:
    """The rows of the one table of offsets in a table of each feed; then it is dropped."""

    table: str

    def is_due(self, connection: "SnowflakeConnection") -> bool:
        statement = "SELECT count(*) FROM information_schema.tables WHERE table_schema || '.' || table_name = %s"
        return bool(rows(connection.cursor(), statement, (self.table,))[0][0])

    def statements(self, connection: "SnowflakeConnection") -> list[str]:
        columns = "topic, topic_id, kafka_partition, next_offset, updated_at"
        # A topic is market.<feed>.<dataset>.
        of_feed = "split_part(topic, '.', 2)"
        found = rows(connection.cursor(), f"SELECT DISTINCT {of_feed} FROM {self.table} ORDER BY 1")
        feeds = [check_feed(feed) for (feed,) in found]
        copies = (
            f"INSERT INTO {offsets_table(feed)} ({columns}) SELECT {columns} FROM {self.table} "
            f"WHERE {of_feed} = '{feed}' AND topic NOT IN (SELECT topic FROM {offsets_table(feed)})"
            for feed in feeds
        )
        return [*map(offsets_ddl, feeds), *copies, f"DROP TABLE {self.table}"]


@dataclass(frozen=True)
class Migration:
    number: int
    description: str
    changes: tuple[Change, ...]


MIGRATIONS = (
    Migration(
        1,
        "0.2.0: RAW.ASKED_DAYS is RAW.REQUESTED_PARTITIONS, its asked_until complete_until",
        (
            Rename("RAW", "ASKED_DAYS", "REQUESTED_PARTITIONS"),
            Rename("RAW", "REQUESTED_PARTITIONS", "COMPLETE_UNTIL", column="ASKED_UNTIL"),
            Rename("INTERMEDIATE", "INT_DAY_GAPS", "COMPLETE_UNTIL", column="ASKED_UNTIL"),
        ),
    ),
    Migration(
        2,
        "0.2.0: columns of RAW.LOADS and RAW.REQUESTED_PARTITIONS",
        (
            Rename("RAW", "LOADS", "START_OFFSETS", column="FROM_OFFSETS"),
            Rename("RAW", "LOADS", "END_OFFSETS", column="TO_OFFSETS"),
            Rename("RAW", "LOADS", "MESSAGE_COUNT", column="MESSAGES"),
            Rename("RAW", "LOADS", "OFFSET_GAPS", column="GAPS"),
            Rename("RAW", "REQUESTED_PARTITIONS", "PARTITION_DATE", column="DAY"),
            Rename("RAW", "REQUESTED_PARTITIONS", "RECORD_COUNT", column="BARS"),
        ),
    ),
    Migration(3, "0.2.0: RAW.LOADS has an origin", (AddColumn("RAW", "LOADS", "ORIGIN", "VARCHAR"),)),
    Migration(4, "0.2.0: RAW.KAFKA_OFFSETS is a table a feed", (SplitByFeed("RAW.KAFKA_OFFSETS"),)),
)


def migrate(connection: "SnowflakeConnection") -> None:
    """Apply what was not applied to this database yet. `VERSIONS` must be there; never inside a transaction."""
    cursor = connection.cursor()
    applied = {number for (number,) in rows(cursor, f"SELECT number FROM {VERSIONS}")}
    for migration in MIGRATIONS:
        if migration.number not in applied:
            for change in migration.changes:
                _apply(connection, change)
            cursor.execute(
                f"INSERT INTO {VERSIONS} (number, description, applied_at) SELECT %s, %s, SYSDATE() "
                f"WHERE NOT EXISTS (SELECT 1 FROM {VERSIONS} WHERE number = %s)",
                (migration.number, migration.description, migration.number),
            )


def _apply(connection: "SnowflakeConnection", change: Change) -> None:
    """Make the change unless it is made.

    Raises:
        snowflake.connector.errors.ProgrammingError: it cannot be made, and no other process has made it.
    """
    from snowflake.connector.errors import ProgrammingError

    if change.is_due(connection):
        try:
            for statement in change.statements(connection):
                connection.cursor().execute(statement)
        except ProgrammingError:
            if change.is_due(connection):
                raise
