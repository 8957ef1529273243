"""A statement and its rows, in one call; several statements, in one transaction."""

import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

# Rows of one INSERT: a statement of Snowflake may have a megabyte.
_ROWS = 2_000
# Rows of a file that are in memory at once.
_BATCH = 100_000
# A column's type in Parquet: pyarrow's function that makes it, and what it is given.
_ARROW = {
    "VARCHAR": ("string",),
    "DATE": ("date32",),
    "TIMESTAMP_NTZ": ("timestamp", "us"),
    "NUMBER(38, 0)": ("int64",),
}
# The error number of a table that was not made yet.
DOES_NOT_EXIST = 2003


def rows(
    cursor: "SnowflakeCursor", statement: str, values: Sequence[object] = (), timeout: int | None = None
) -> list[tuple[Any, ...]]:
    """Execute `statement` with `values` bound to its %s, and fetch all rows.

    `timeout` in seconds; without one the connection's network timeout ends a statement.
    """
    cursor.execute(statement, tuple(values) or None, timeout=timeout)
    return [tuple(row) for row in cursor.fetchall()]


def insert(
    connection: "SnowflakeConnection", table: str, columns: Mapping[str, str], values: Iterable[Sequence[str | int]]
) -> None:
    """Add `values`, rows of the `columns` {name: type, one of `_ARROW`}, in one statement: all of them or none.

    A few are bound as one JSON text: an INSERT of a value a placeholder costs the emulator a millisecond a row. More,
    of which no more than a batch is in memory, are copied from a Parquet file, at a tenth of JSON's time.
    """
    remaining = iter(values)
    first = list(islice(remaining, _ROWS))
    following = list(islice(remaining, 1))
    if following:
        _copy(connection, table, columns, chain(first, following, remaining))
    elif first:
        cells = ", ".join(f"row_values.value[{place}]::{kind}" for place, kind in enumerate(columns.values()))
        connection.cursor().execute(
            f"INSERT INTO {table} ({', '.join(columns)}) "
            f"SELECT {cells} FROM TABLE(FLATTEN(input => PARSE_JSON(%s))) AS row_values",
            (json.dumps(first),),
        )


def _copy(
    connection: "SnowflakeConnection", table: str, columns: Mapping[str, str], values: Iterator[Sequence[str | int]]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, getattr(pa, _ARROW[kind][0])(*_ARROW[kind][1:])) for name, kind in columns.items()])
    stage = f"{table}_{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/rows.parquet"
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            while batch := list(islice(values, _BATCH)):
                cells = (pa.array(column) for column in zip(*batch, strict=True))
                typed = [column.cast(field.type) for column, field in zip(cells, schema, strict=True)]
                writer.write_batch(pa.record_batch(typed, schema))
        cursor = connection.cursor()
        cursor.execute(f"CREATE TEMPORARY STAGE {stage}")
        cursor.execute(f"PUT 'file://{file}' @{stage} AUTO_COMPRESS = FALSE")
    cursor.execute(
        f"COPY INTO {table} FROM @{stage} FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE) "
        "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE PURGE = TRUE"
    )


@contextmanager
def transaction(cursor: "SnowflakeCursor") -> Iterator[None]:
    """Commit what the block executes, or nothing of it when it raises: its error is the one that is seen."""
    from snowflake.connector.errors import Error

    cursor.execute("BEGIN")
    try:
        yield
    except BaseException:
        # When the connection is gone Snowflake rolls back by itself.
        with suppress(Error):
            cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")
