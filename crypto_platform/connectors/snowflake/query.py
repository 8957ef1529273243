"""One statement on the configured Snowflake, and its result as text that loses nothing."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.settings import Settings


class QueryError(RuntimeError):
    """The statement or the login failed; the message is Snowflake's."""


@dataclass(frozen=True)
class Result:
    """Columns by name, in order, and the rows as Python values; rows are fetched as they are asked for."""

    columns: list[str]
    rows: Iterable[tuple[Any, ...]]


@contextmanager
def query(settings: Settings, sql: str, values: Sequence[Any] = ()) -> Iterator[Result]:
    """Run `sql`, one statement, committed at once when it changes something; the rows are there inside the block.

    With `values` each `%s` in it stands for one of them, and `%%` for a percent sign.

    Raises:
        QueryError: Snowflake does not take it, or the login.
    """
    import snowflake.connector

    try:
        with connect(settings, "sql") as connection, connection.cursor() as cursor:
            cursor.execute(sql, tuple(values) or None)
            rows = (tuple(row) for row in cursor)
            yield Result([column.name for column in cursor.description], rows)
    except snowflake.connector.errors.Error as error:
        raise QueryError(str(error.msg or error)) from error


def text(value: Any) -> str | None:
    """A value as written in SQL results: all digits, times with a blank and their zone, binaries in hex, NULL None."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return value.hex().upper()
    return str(value)


def csv_lines(result: Result) -> Iterator[str]:
    """RFC 4180 lines, header first. NULL is an empty field, an empty string `""`."""
    yield _csv_line(result.columns)
    for row in result.rows:
        yield _csv_line([text(value) for value in row])


def _csv_line(fields: Sequence[str | None]) -> str:
    return ",".join(_csv_field(field) for field in fields)


def _csv_field(field: str | None) -> str:
    if field is None:
        return ""
    if field == "" or any(mark in field for mark in ',"\r\n'):
        return '"' + field.replace('"', '""') + '"'
    return field


def json_lines(result: Result) -> Iterator[str]:
    """The lines of a JSON array with an object a row. Integers, finite floats, booleans and NULL are JSON's own.

    Everything else is a string as `text` writes it, decimals too: a JSON number would not keep their digits. A column
    name that comes again is numbered.
    """
    names = _distinct(result.columns)
    separator = "["
    for row in result.rows:
        yield separator + json.dumps(dict(zip(names, map(_json_value, row), strict=True)), ensure_ascii=False)
        separator = ","
    yield "]" if separator == "," else "[]"


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    return value if value is None or isinstance(value, bool | int) else text(value)


def _distinct(names: Sequence[str]) -> list[str]:
    result: list[str] = []
    for name in names:
        distinct, number = name, 1
        while distinct in result:
            number += 1
            distinct = f"{name}_{number}"
        result.append(distinct)
    return result
