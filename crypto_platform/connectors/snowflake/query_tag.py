"""Query tags: what a statement's row in Snowflake's QUERY_HISTORY says of who sent it, as JSON.

{"app": "crypto_platform", "component": "load", "feed": "crypto", "run_id": …, "load_id": …}, without what is not known.
https://docs.snowflake.com/en/sql-reference/parameters#query-tag
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

APPLICATION = "crypto_platform"
_about: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("query_tag", default=())


@contextmanager
def tagged(**about: str) -> Iterator[None]:
    """Statements of the block say this: `component`, `feed`, `run_id`, `load_id`."""
    before = _about.set((*_about.get(), *about.items()))
    try:
        yield
    finally:
        _about.reset(before)


def query_tag(component: str) -> str:
    """The tag of a statement that is sent now by a session of `component`, unless a block says otherwise."""
    return json.dumps({"app": APPLICATION, "component": component, **dict(_about.get())})


def tag_statements(connection: "SnowflakeConnection", component: str) -> None:
    """Have each statement of the session carry the tag of its moment: a parameter of the request, no statement more."""
    from snowflake.connector.cursor import SnowflakeCursor

    class TaggedCursor(SnowflakeCursor):
        def execute(self, command: str, *values: Any, **options: Any) -> Any:
            tag = {"QUERY_TAG": query_tag(component)}
            return super().execute(command, *values, **{"_statement_params": tag, **options})

    new_cursor = connection.cursor
    # By its name, for a type checker takes a method for one that is never replaced.
    setattr(connection, "cursor", lambda kind=TaggedCursor: new_cursor(kind))  # noqa: B010
