"""A statement and its rows, in one call."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


def rows(cursor: "SnowflakeCursor", statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Execute `statement` with `values` bound to its %s, and fetch all rows."""
    cursor.execute(statement, tuple(values) or None)
    return [tuple(row) for row in cursor.fetchall()]
