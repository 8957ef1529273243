"""A statement that sqlglot's Snowflake dialect has no grammar for is refused, where fakesnow hands it to DuckDB."""

from typing import Any

import pytest
import sqlglot
from fakesnow.dialect import parse_one
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from crypto_platform.sandbox.fakesnow_patches import without_grammar
from crypto_platform.sandbox.fakesnow_patches.statement_cache import Parser

# What DuckDB runs and Snowflake knows nothing of, and what is misspelt.
REFUSED = [
    "CHECKPOINT",
    "LOAD json",
    "CALL pragma_version()",
    "GRANT ROLE LOADER",
    "ALTER WAREHOUSE LOADING SET SIZE 3",
]
# By page, so that what is allowed is no longer than what is said here.
ALLOWED = {
    "create-role": "create role if not exists loader comment = 'it''s loads';",
    "grant-role": "GRANT ROLE LOADER TO USER SVC_LOADER",
    "grant-database-role": "GRANT DATABASE ROLE SNOWFLAKE.USAGE_VIEWER TO ROLE TRANSFORMER",
    "grant-privilege": "GRANT SELECT ON FUTURE VIEWS IN SCHEMA MARKET.MARTS TO ROLE READER",
    "create-user": "CREATE USER IF NOT EXISTS SVC_LOADER TYPE = SERVICE",
    "alter-user": "ALTER USER SVC_LOADER SET DEFAULT_ROLE = LOADER\n  TIMEZONE = 'UTC'",
    "alter-schema": "ALTER SCHEMA MARKET.RAW SET DATA_RETENTION_TIME_IN_DAYS = 7",
    "alter-warehouse": "ALTER WAREHOUSE LOADING SET AUTO_SUSPEND = 60 AUTO_RESUME = TRUE",
    "create-resource-monitor": "CREATE RESOURCE MONITOR IF NOT EXISTS M WITH CREDIT_QUOTA = 5 FREQUENCY = MONTHLY "
    "START_TIMESTAMP = IMMEDIATELY TRIGGERS ON 80 PERCENT DO NOTIFY",
    "alter-resource-monitor": "ALTER RESOURCE MONITOR M SET CREDIT_QUOTA = 5",
    "alter-storage-integration": "ALTER STORAGE INTEGRATION L SET ENABLED = TRUE "
    "STORAGE_ALLOWED_LOCATIONS = ('s3://b/')",
    "alter-stage": "ALTER STAGE MARKET.RAW.LANDING SET URL = 's3://b/' STORAGE_INTEGRATION = L",
    "create-network-policy": "CREATE NETWORK POLICY IF NOT EXISTS P ALLOWED_IP_LIST = ('203.0.113.0/24', '1.1.1.1')",
    "alter-network-policy": "ALTER NETWORK POLICY P SET ALLOWED_IP_LIST = ('203.0.113.0/24')",
    "alter-table-column": "alter table MARKET.MARTS.FACTS alter\n  n COMMENT $$it's first$$,\n  m COMMENT $$two$$"
    '\n/* {"app": "dbt"} */;',
    "show-grants": "SHOW FUTURE GRANTS TO ROLE LOADER",
    "begin": "start transaction",
    "show-parameters": "SHOW PARAMETERS LIKE 'QUERY_TAG' IN SESSION",
    "show-user-functions": "SHOW USER FUNCTIONS IN DATABASE MARKET",
    "explain": "EXPLAIN USING TEXT SELECT 1",
}


@pytest.mark.parametrize("statement", REFUSED)
def test_what_nobody_understands_is_a_syntax_error(statement: str) -> None:
    """As every statement that is none of https://docs.snowflake.com/en/sql-reference/sql-all."""
    with pytest.raises(ProgrammingError, match="no grammar for") as error:
        Parser(parse_one).parse(statement)
    assert error.value.errno == 1003


def test_plain_fakesnow_runs_duckdb_s_own_statements() -> None:
    session: Any = FakeSnow().connect("MARKET", "RAW").cursor()
    session.execute("CHECKPOINT")


@pytest.mark.parametrize("page", without_grammar.SYNTAX)
def test_what_has_the_syntax_of_its_page_is_taken(page: str) -> None:
    statement = ALLOWED[page.rpartition("/")[2]]
    parsed = sqlglot.parse_one(statement, dialect="snowflake")
    assert without_grammar.unparsed(parsed, statement), "sqlglot has a grammar for it now"
    Parser(parse_one).parse(statement)


def test_a_statement_with_a_grammar_is_left_to_it() -> None:
    assert isinstance(Parser(parse_one).parse("SELECT 1"), exp.Select)


@pytest.mark.parametrize("text", ["SELECT 1;", "SELECT 1; -- one", "SELECT 1 AS n;\n/* one */", "-- one\nSELECT 1"])
def test_a_comment_is_no_statement(text: str) -> None:
    assert isinstance(Parser(parse_one).parse(text), exp.Select)


def test_several_statements_are_refused() -> None:
    """https://docs.snowflake.com/en/sql-reference/parameters#multi-statement-count"""
    with pytest.raises(ProgrammingError, match="Actual statement count 2") as error:
        Parser(parse_one).parse("SELECT 1; DROP TABLE bars")
    assert error.value.errno == 8
