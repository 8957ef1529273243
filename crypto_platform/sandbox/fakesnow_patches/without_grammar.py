"""What sqlglot's Snowflake dialect has no grammar for, and the emulator therefore cannot understand.

sqlglot makes a bare Command of such a statement, or takes its word for a column's name, and fakesnow hands it to DuckDB
as it is: DuckDB's own statements would pass for Snowflake's, and a misspelt one be whatever DuckDB makes of it. Here
each is refused as Snowflake refuses a syntax error, unless it has the syntax of its page in Snowflake's documentation,
as far as it is used.
"""

import re

from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

_DOCS = "https://docs.snowflake.com/en/sql-reference/sql/"
NAME, TEXT, NUMBER = r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*", r"'(?:[^'\\]|'')*'", r"\d+"
_TEXTS = rf"\({TEXT}(?:, {TEXT})*\)"
_WAYS = rf"ENABLED = TRUE (?:STORAGE_AWS_ROLE_ARN = {TEXT} )?STORAGE_ALLOWED_LOCATIONS = {_TEXTS}"
_COMMENT = r"\"?[A-Za-z]\w*\"? COMMENT \$\$.*?\$\$"
_SECONDS = "STATEMENT_TIMEOUT_IN_SECONDS|STATEMENT_QUEUED_TIMEOUT_IN_SECONDS"
# By page; its groups are read by `privileges.Statement`.
SYNTAX = {
    f"{_DOCS}create-role": rf"CREATE ROLE IF NOT EXISTS (?P<new_role>{NAME})(?: COMMENT = {TEXT})?",
    f"{_DOCS}grant-role": rf"GRANT ROLE (?P<role>{NAME}) TO (?P<to>ROLE|USER) (?P<grantee>{NAME})",
    f"{_DOCS}grant-database-role": rf"GRANT DATABASE ROLE SNOWFLAKE\.[A-Z]+_VIEWER TO ROLE (?P<viewer>{NAME})",
    f"{_DOCS}grant-privilege": r"GRANT (?P<privileges>SELECT|SELECT, INSERT) ON (?P<which>ALL|FUTURE) "
    rf"(?P<kinds>TABLES|VIEWS) IN SCHEMA (?P<schema>{NAME}) TO ROLE (?P<grantee>{NAME})",
    f"{_DOCS}create-user": rf"CREATE USER IF NOT EXISTS (?P<new_user>{NAME}) TYPE = SERVICE",
    f"{_DOCS}alter-user": rf"ALTER USER (?P<user>{NAME}) SET(?: RSA_PUBLIC_KEY = {TEXT}"
    rf"| DEFAULT_SECONDARY_ROLES = \(\)| DEFAULT_ROLE = (?P<default_role>{NAME})"
    rf"| DEFAULT_WAREHOUSE = (?P<default_warehouse>{NAME})| (?:DEFAULT_NAMESPACE|NETWORK_POLICY) = {NAME}"
    rf"| (?:LOCK_TIMEOUT|{_SECONDS}) = {NUMBER}| (?:ABORT_DETACHED_QUERY|AUTOCOMMIT) = TRUE| TIMEZONE = {TEXT})+",
    f"{_DOCS}alter-schema": rf"ALTER SCHEMA (?P<altered_schema>{NAME}) SET DATA_RETENTION_TIME_IN_DAYS = {NUMBER}",
    f"{_DOCS}alter-warehouse": rf"ALTER WAREHOUSE (?P<altered_warehouse>{NAME}) SET"
    rf"(?: (?:AUTO_SUSPEND|{_SECONDS}) = {NUMBER}| AUTO_RESUME = TRUE| RESOURCE_MONITOR = {NAME})+",
    f"{_DOCS}create-resource-monitor": rf"CREATE RESOURCE MONITOR IF NOT EXISTS {NAME} WITH CREDIT_QUOTA = {NUMBER} "
    r"FREQUENCY = MONTHLY START_TIMESTAMP = IMMEDIATELY "
    r"TRIGGERS(?: ON \d+ PERCENT DO (?:NOTIFY|SUSPEND|SUSPEND_IMMEDIATE))+",
    f"{_DOCS}alter-resource-monitor": rf"ALTER RESOURCE MONITOR {NAME} SET CREDIT_QUOTA = {NUMBER}",
    f"{_DOCS}alter-storage-integration": rf"ALTER STORAGE INTEGRATION {NAME} SET {_WAYS}",
    f"{_DOCS}alter-stage": rf"ALTER STAGE (?P<altered_stage>{NAME}) SET URL = {TEXT} STORAGE_INTEGRATION = {NAME}",
    f"{_DOCS}create-network-policy": rf"CREATE NETWORK POLICY IF NOT EXISTS (?P<new_policy>{NAME}) "
    rf"ALLOWED_IP_LIST = {_TEXTS}",
    f"{_DOCS}alter-network-policy": rf"ALTER NETWORK POLICY (?P<policy>{NAME}) SET ALLOWED_IP_LIST = {_TEXTS}",
    f"{_DOCS}alter-table-column": rf"ALTER (?P<kind>TABLE|VIEW) (?P<commented>{NAME}) "
    rf"ALTER {_COMMENT}(?: ?, {_COMMENT})*",
    f"{_DOCS}show-grants": rf"SHOW (?P<future>FUTURE )?GRANTS TO ROLE (?P<shown>{NAME})",
    # fakesnow answers these.
    f"{_DOCS}begin": r"START TRANSACTION",
    f"{_DOCS}show-parameters": r"SHOW PARAMETERS\b.*",
    f"{_DOCS}show-user-functions": r"SHOW USER FUNCTIONS\b.*",
    f"{_DOCS}explain": r"EXPLAIN\b.*",
}
# What of sqlglot's statements is Snowflake's; of one word it would make a column.
_STATEMENTS = (
    exp.Query,
    exp.Values,
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Copy,
    exp.Put,
    exp.ListStage,
    exp.Create,
    exp.Alter,
    exp.Comment,
    exp.Drop,
    exp.Undrop,
    exp.TruncateTable,
    exp.Grant,
    exp.Revoke,
    exp.Use,
    exp.Set,
    exp.Show,
    exp.Describe,
    exp.Transaction,
    exp.Commit,
    exp.Rollback,
)
_COMPILED = {page: re.compile(syntax, re.IGNORECASE | re.DOTALL) for page, syntax in SYNTAX.items()}


def match(statement: str) -> re.Match[str] | None:
    """How a statement without a grammar has the syntax of its page; None where it has that of none."""
    text = statement.strip().removesuffix(";").strip()
    # dbt's comment, which says whose the statement is.
    while text.endswith("*/"):
        text = text[: text.rindex("/*")].strip().removesuffix(";").strip()
    plain = " ".join(text.split())
    return next((found for syntax in _COMPILED.values() if (found := syntax.fullmatch(plain))), None)


def single(expression: exp.Expr) -> exp.Expr:
    """The statement of a text that has one, a semicolon and comments.

    Raises:
        ProgrammingError: it has several, errno 8: https://docs.snowflake.com/en/sql-reference/parameters#multi-statement-count
    """
    if not isinstance(expression, exp.Block):
        return expression
    statements = [one for one in expression.expressions if not isinstance(one, exp.Semicolon)]
    if len(statements) != 1:
        raise ProgrammingError(
            f"Actual statement count {len(statements)} did not match the desired statement count 1.",
            errno=8,
            sqlstate="0A000",
        )
    found: exp.Expr = statements[0].copy()
    return found


def unparsed(expression: exp.Expr, statement: str) -> re.Match[str] | None:
    """How a statement that sqlglot did not understand has the syntax of its page; None of one that it did."""
    return None if isinstance(expression, _STATEMENTS) else match(statement)


def check(expression: exp.Expr, statement: str) -> None:
    """Refuse a statement that sqlglot does not understand and that has not the syntax of a page either.

    Raises:
        ProgrammingError: such a one, errno 1003.
    """
    if not isinstance(expression, _STATEMENTS) and not match(statement):
        raise ProgrammingError(
            f"SQL compilation error:\nsyntax error: sqlglot's Snowflake dialect has no grammar for {statement[:200]!r}",
            errno=1003,
            sqlstate="42000",
        )
