"""Staged Parquet into a scratch table of one load's own, before and outside the load's transaction.

DDL commits an open transaction in Snowflake, so nothing here runs inside one. The table and the stage are temporary:
nobody else sees them, they go with the session that fills the table and reads it, and to create them takes no privilege
(https://docs.snowflake.com/en/sql-reference/sql/create-table, and create-stage: access control requirements). In the
emulator a session that was killed does not end, so what a dead load left there is dropped later.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.failpoints import reach
from crypto_platform.ingestion.stage import Span, Staged, columns
from crypto_platform.market.dataset import Dataset
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

# The first and the last of records, by the column that has their time; of a date, dates.
TimeRange = tuple[datetime, datetime] | tuple[date, date]

_STALE = timedelta(days=1)
# So many may be named: https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#optional-parameters
_NAMED_FILES = 1_000
_LOAD_ID = r"(\d{8}T\d{6})_[0-9a-f]{12}"


class ScratchError(RuntimeError):
    """The scratch table does not hold exactly the messages that were staged; nothing was loaded."""


@dataclass(frozen=True)
class Scratch:
    """A filled scratch table.

    `gaps`: offsets of the spans without a message; `time_range`: first and last time of the good records, if any.
    """

    table: str
    messages: int
    rejected: int
    offset_gaps: int
    time_range: TimeRange | None


def table_name(load_id: str) -> str:
    """The scratch table of a load."""
    if not re.fullmatch(_LOAD_ID, load_id):
        raise ValueError(f"{load_id!r} is not a load's id")
    return f"RAW.SCRATCH_{load_id.upper()}"


def is_stale(load_id: str) -> bool:
    """Whether a load of this id began more than a day ago, so that its leftovers belong to a dead attempt."""
    match = re.fullmatch(_LOAD_ID, load_id)
    if not match:
        return False
    began = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return datetime.now(UTC) - began > _STALE


def fill(connection: "SnowflakeConnection", settings: Settings, dataset: Dataset, load_id: str, staged: Staged) -> str:
    """Create the load's scratch table and copy the staged files into it; returns its name.

    The table is there for this connection alone.

    Raises:
        ScratchError: Snowflake loaded other files, or other numbers of rows, than Spark committed.
    """
    cursor = connection.cursor()
    table = table_name(load_id)
    definition = ", ".join(f"{c.name} {c.snowflake}" for c in columns(dataset))
    cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({definition})")
    if not staged.files:
        return table
    sources = _sources(connection, settings, load_id, staged)
    reach("after_put")
    loaded = [
        file
        for source, purge in sources
        for file in rows(
            cursor,
            f"COPY INTO {table} FROM {source} "
            "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE) "
            f"MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE{purge}",
            timeout=settings.snowflake_statement_timeout,
        )
    ]
    copied = sorted(str(row[0]).rsplit("/", 1)[-1] for row in loaded)
    if copied != sorted(staged.files):
        raise ScratchError(f"Spark committed {sorted(staged.files)}, Snowflake copied {copied}")
    return table


def verify(
    connection: "SnowflakeConnection", dataset: Dataset, table: str, staged: Staged, spans: dict[int, Span]
) -> Scratch:
    """Check that the table holds every staged message once and nothing else.

    Offsets without a message (transaction markers, a compacted topic) are counted as gaps.

    Raises:
        ScratchError: a message is missing, doubled or out of the spans.
    """
    cursor = connection.cursor()
    found = rows(
        cursor,
        "SELECT kafka_partition, count(*), count(DISTINCT kafka_offset), min(kafka_offset), max(kafka_offset), "
        f"count_if(reason IS NULL), min(iff(reason IS NULL, {dataset.time}, NULL)), "
        f"max(iff(reason IS NULL, {dataset.time}, NULL)) FROM {table} GROUP BY kafka_partition",
    )
    total = 0
    for partition, count, distinct, first, last, *_ in found:
        span = spans.get(int(partition))
        if span is None or count != distinct or first < span.start or last >= span.end:
            raise ScratchError(
                f"{table} holds {count} messages of partition {partition}, {distinct} of them different, offsets "
                f"{first} to {last}, where {span} was read"
            )
        total += count
    if total != staged.messages:
        raise ScratchError(f"Spark wrote {staged.messages} messages, {table} holds {total}")
    good = [row[5:] for row in found if row[5]]
    return Scratch(
        table=table,
        messages=total,
        rejected=total - sum(int(count) for count, _, _ in good),
        offset_gaps=sum(len(span) for span in spans.values()) - total,
        time_range=(min(first for _, first, _ in good), max(last for _, _, last in good)) if good else None,
    )


def drop(connection: "SnowflakeConnection", load_id: str) -> None:
    """Drop a load's scratch table."""
    connection.cursor().execute(f"DROP TABLE IF EXISTS {table_name(load_id)}")


def drop_stale(connection: "SnowflakeConnection") -> list[str]:
    """Drop the scratch tables of loads that began more than a day ago; returns their names."""
    found = rows(
        connection.cursor(),
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'RAW' "
        "AND startswith(table_name, 'SCRATCH_')",
    )
    dropped = []
    for (name,) in found:
        load_id = str(name).removeprefix("SCRATCH_")
        load_id = load_id[:16] + load_id[16:].lower()
        if is_stale(load_id):
            drop(connection, load_id)
            dropped.append(str(name))
    return dropped


def _sources(
    connection: "SnowflakeConnection", settings: Settings, load_id: str, staged: Staged
) -> list[tuple[str, str]]:
    """What each COPY reads, and its PURGE option.

    An internal stage is temporary and holds nothing but the staged files; of an external one the files are named.
    """
    if settings.snowflake_external_stage:
        folder = staged.path.removeprefix(settings.stage).strip("/")
        names = [f"'{name}'" for name in staged.files]
        lists = (", ".join(names[first : first + _NAMED_FILES]) for first in range(0, len(names), _NAMED_FILES))
        return [(f"@{settings.snowflake_external_stage}/{folder}/ FILES = ({files})", "") for files in lists]
    stage = f"RAW.STAGE_{load_id.upper()}"
    cursor = connection.cursor()
    cursor.execute(f"CREATE TEMPORARY STAGE IF NOT EXISTS {stage}")
    cursor.execute(f"PUT 'file://{staged.path}/*.parquet' @{stage} AUTO_COMPRESS = FALSE PARALLEL = 4")
    # The emulator keeps the files of a temporary stage, unless they are purged.
    return [(f"@{stage}", " PURGE = TRUE")]
