"""What the emulator does twice, done once: half of the time that it takes for a short statement."""

from collections import OrderedDict
from typing import Any

# Statements that were parsed by the server and not executed yet, which is at once.
_PARSED_KEPT = 16


def install(server: Any, cursor: Any) -> None:
    """Have fakesnow's modules `server` and `cursor` parse a statement once, and describe its result as it was run."""
    parse = server.parse_one
    parsed: OrderedDict[str, Any] = OrderedDict()

    def parse_and_keep(text: str) -> Any:
        expression = parsed[text] = parse(text)
        if len(parsed) > _PARSED_KEPT:
            parsed.popitem(last=False)
        return expression

    def take_or_parse(text: str) -> Any:
        expression = parsed.pop(text, None)
        return parse(text) if expression is None else expression

    server.parse_one, cursor.parse_one = parse_and_keep, take_or_parse

    describe = cursor.FakeSnowflakeCursor._describe_last_sql

    def describe_query(self: Any) -> Any:
        # What was executed is DuckDB's dialect already.
        if self._last_sql.lstrip().split(maxsplit=1)[0].upper() not in ("SELECT", "WITH"):
            return describe(self)
        return self._duck_conn.execute(f"DESCRIBE {self._last_sql}", self._last_params).fetchall()

    cursor.FakeSnowflakeCursor._describe_last_sql = describe_query
