"""What the emulator does twice, done once: half of the time that it takes for a short statement."""

from collections import OrderedDict
from typing import Any

# Statements that were parsed by the server and not executed yet, which is at once.
_PARSED_KEPT = 16


def install(server: Any, cursor: Any) -> None:
    """Have fakesnow's modules `server` and `cursor` parse a statement once, and not plan it again for its columns."""
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

    execute, describe = cursor.FakeSnowflakeCursor._execute, cursor.FakeSnowflakeCursor._describe_last_sql

    def execute_and_describe(self: Any, transformed: Any, params: Any = None) -> None:
        execute(self, transformed, params)
        # RESULT_SCAN executes nothing: what DuckDB describes then is another statement's result.
        scanned = transformed.args.get("result_scan_sfqid")
        self.columns = None if scanned else [(name, str(kind)) for name, kind, *_ in self._duck_conn.description]

    def describe_result(self: Any) -> list[tuple[Any, ...]]:
        if self.columns is None:
            rows: list[tuple[Any, ...]] = describe(self)
            return rows
        return [(*column, "YES", None, None, None) for column in self.columns]

    cursor.FakeSnowflakeCursor._execute = execute_and_describe
    cursor.FakeSnowflakeCursor._describe_last_sql = describe_result
