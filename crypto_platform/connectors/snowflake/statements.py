"""A statement and its rows, in one call."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


def rows(
    cursor: "SnowflakeCursor", statement: str, values: Sequence[object] = (), timeout: int | None = None
) -> list[tuple[Any, ...]]:
    """Execute `statement` with `values` bound to its %s, and fetch all rows.

    `timeout` in seconds; without one the connection's network timeout ends a statement.
    """
    cursor.execute(statement, tuple(values) or None, timeout=timeout)
    return [tuple(row) for row in cursor.fetchall()]
