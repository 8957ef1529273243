"""What the emulator does twice, done once: half of the time that it takes for a short statement."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from crypto_platform.sandbox.fakesnow_patches import without_grammar

# What a parsed statement's text is called among what sqlglot lets one note of it.
TEXT = "text"
# Statements that were parsed by the server and not executed yet, which is at once.
_PARSED_KEPT = 16


class Parser:
    """fakesnow's `parse`, once for each statement that the server passes on to a cursor."""

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse
        self._parsed: OrderedDict[str, Any] = OrderedDict()

    def parse(self, text: str) -> Any:
        """The statement.

        Raises:
            ProgrammingError: it is none that Snowflake, or the emulator, understands.
        """
        expression = without_grammar.single(self._parse(text))
        without_grammar.check(expression, text)
        expression.meta[TEXT] = text
        return expression

    def parse_and_keep(self, text: str) -> Any:
        expression = self._parsed[text] = self.parse(text)
        if len(self._parsed) > _PARSED_KEPT:
            self._parsed.popitem(last=False)
        return expression

    def take_or_parse(self, text: str) -> Any:
        expression = self._parsed.pop(text, None)
        return self.parse(text) if expression is None else expression

    def peek(self, text: str) -> Any:
        """The statement, to be looked at and not to be changed."""
        expression = self._parsed.get(text)
        return self.parse(text) if expression is None else expression


def install(server: Any, cursor: Any) -> Parser:
    """Have fakesnow's modules `server` and `cursor` parse a statement once, and not plan it again for its columns."""
    parser = Parser(server.parse_one)
    server.parse_one, cursor.parse_one = parser.parse_and_keep, parser.take_or_parse

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
    return parser
