"""A statement and its rows, in one call; several statements, in one transaction."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

# Rows of one INSERT: a statement of Snowflake may have a megabyte.
_ROWS = 2_000
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
    cursor: "SnowflakeCursor", table: str, columns: Mapping[str, str], values: Sequence[Sequence[str | int]]
) -> None:
    """Add `values`, rows of the `columns` {name: type}, a statement for every so many.

    They are bound as one JSON text: an INSERT of a value a placeholder costs the emulator a millisecond a row.
    """
    cells = ", ".join(f"row_values.value[{place}]::{kind}" for place, kind in enumerate(columns.values()))
    statement = (
        f"INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {cells} FROM TABLE(FLATTEN(input => PARSE_JSON(%s))) AS row_values"
    )
    for first in range(0, len(values), _ROWS):
        cursor.execute(statement, (json.dumps(values[first : first + _ROWS]),))


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
