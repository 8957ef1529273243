"""The set-up of an account: what it says, that it parses, and that it can be run again."""

import re
from dataclasses import replace
from typing import Any

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from crypto_platform.connectors.snowflake.account import DBT_SCHEMAS, IDENTIFIER, Account, SetupError, Storage
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.setup import Section, apply, script, sections
from crypto_platform.market.feed_spec import feeds
from crypto_platform.sandbox.fakesnow_patches import without_grammar
from crypto_platform.settings import Settings
from crypto_platform.transform.project import manifest
from crypto_platform_tests import factories

FEEDS = {name: spec.datasets for name, spec in feeds().items()}
EVERYTHING = Account(
    prefix="DEV_",
    allowed_ranges=("203.0.113.0/24", "198.51.100.7"),
    storage=Storage("s3://my-bars/platform", "arn:aws:iam::123456789012:role/snowflake"),
    costs=True,
    public_keys={f"DEV_SVC_{role}": "MIIBIjANBgkqhki+G9w0BAQEFAAOCAQ8A/IBCgKC==" for role in ("LOADER", "READER")},
)
ACCOUNTS = {
    "everything": EVERYTHING,
    "in Google's cloud": replace(EVERYTHING, storage=Storage("gcs://my-bars/")),
    "nothing more": Account(),
}

NAME = without_grammar.NAME


def statements(account: Account) -> list[str]:
    return [statement for section in sections(account, FEEDS) for statement in section.statements]


def is_command(statement: str) -> bool:
    parsed = sqlglot.parse(statement, dialect="snowflake")
    assert len(parsed) == 1, statement
    return any(isinstance(node, exp.Command) for node in parsed[0].walk())


@pytest.mark.parametrize("account", ACCOUNTS.values(), ids=ACCOUNTS)
def test_every_statement_parses_or_has_the_syntax_of_its_page(account: Account) -> None:
    for statement in statements(account):
        pages = [page for page, syntax in without_grammar.SYNTAX.items() if re.fullmatch(syntax, statement)]
        assert len(pages) == (1 if is_command(statement) else 0), (statement, pages)


def test_the_kinds_without_a_grammar_are_exactly_these() -> None:
    unparsed = [statement for statement in statements(EVERYTHING) if is_command(statement)]
    of_set_up = {
        page: s for page, s in without_grammar.SYNTAX.items() if not re.match(r"SHOW|EXPLAIN|START|ALTER \(", s)
    }
    for page, syntax in of_set_up.items():
        assert any(re.fullmatch(syntax, statement) for statement in unparsed), f"{page} is no exception any more"


@pytest.mark.parametrize("account", ACCOUNTS.values(), ids=ACCOUNTS)
def test_the_script_is_the_statements_each_with_its_role(account: Account) -> None:
    lines = list(script(account, FEEDS))
    run = [line for line in lines if line and not line.startswith("--")]
    assert all(line.endswith(";") and line.count(";") == 1 for line in run)
    expected = [s for part in sections(account, FEEDS) for s in (f"USE ROLE {part.role}", *part.statements)]
    assert [line.removesuffix(";") for line in run] == expected


def test_nothing_is_replaced_and_everything_can_be_repeated() -> None:
    for statement in statements(EVERYTHING):
        assert not re.search(r"\b(OR REPLACE|DROP|REVOKE|TRUNCATE|UNSET)\b", statement)
        if statement.startswith("CREATE"):
            assert " IF NOT EXISTS " in statement, statement
        else:
            assert statement.startswith(("ALTER ", "GRANT ", "USE DATABASE ")), statement


def test_what_is_used_was_made_before() -> None:
    """Names after ON, TO, IN SCHEMA and = are of the account's own, or of something that a statement before made."""
    made_before = {"SYSADMIN"}
    for statement in statements(EVERYTHING):
        if created := re.match(rf"CREATE (?:[A-Z]+ )+IF NOT EXISTS ({NAME})", statement):
            made_before.add(created[1])
            made_before.add(f"MARKET.{created[1]}")
        named = re.findall(
            rf"(?:ON (?:DATABASE|SCHEMA|WAREHOUSE|TABLE|STAGE|INTEGRATION)|IN SCHEMA|TO (?:ROLE|USER)|GRANT ROLE|"
            rf"ALTER (?:SCHEMA|WAREHOUSE|USER|STAGE|RESOURCE MONITOR|STORAGE INTEGRATION|NETWORK POLICY)|"
            rf"(?:DEFAULT_(?:ROLE|WAREHOUSE|NAMESPACE)|NETWORK_POLICY|RESOURCE_MONITOR|STORAGE_INTEGRATION) =)"
            rf" ({NAME})",
            statement,
        )
        assert set(named) <= made_before, statement


def test_each_service_has_limits_and_a_warehouse_of_its_own() -> None:
    services = EVERYTHING.services
    assert len({service.warehouse for service in services}) == len(services)
    said = "\n".join(statements(EVERYTHING))
    for service in services:
        for setting in ("AUTO_SUSPEND = 60", "STATEMENT_TIMEOUT_IN_SECONDS", "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS"):
            assert re.search(rf"ALTER WAREHOUSE {service.warehouse} SET .*{setting}", said)
        assert re.search(rf"ALTER WAREHOUSE {service.warehouse} SET RESOURCE_MONITOR", said)
        assert re.search(rf"ALTER USER {service.user} SET .*LOCK_TIMEOUT = {service.lock_timeout}\b", said)
        assert re.search(rf"ALTER USER {service.user} SET NETWORK_POLICY", said)
    # Else the client gives up first, and what it waited for goes on.
    assert services[0].lock_timeout < EVERYTHING.request_timeout
    assert services[0].queued_timeout < EVERYTHING.request_timeout


def test_a_user_without_a_key_and_an_open_network_are_pointed_out() -> None:
    said = "\n".join(script(Account(), FEEDS))
    assert "SVC_LOADER has no public key" in said
    assert "may come from anywhere" in said
    said = "\n".join(script(EVERYTHING, FEEDS))
    assert "DEV_SVC_TRANSFORMER has no public key" in said
    assert "may come from anywhere" not in said


def test_the_account_s_costs_are_seen_when_asked_for() -> None:
    added = set(statements(EVERYTHING)) - set(statements(replace(EVERYTHING, costs=False)))
    assert added == {
        f"GRANT DATABASE ROLE SNOWFLAKE.{role} TO ROLE DEV_TRANSFORMER"
        for role in ("USAGE_VIEWER", "GOVERNANCE_VIEWER")
    }


def test_dbt_s_schemas_are_the_project_s() -> None:
    nodes: Any = manifest()["nodes"]
    assert {node["schema"] for node in nodes.values() if node["resource_type"] != "unit_test"} == set(DBT_SCHEMAS)


@given(st.one_of(st.text(), st.from_regex(IDENTIFIER)), st.text())
def test_a_name_is_plain_or_refused(database: str, prefix: str) -> None:
    try:
        account = Account(database=database, prefix=prefix)
    except SetupError:
        return
    for statement in statements(account):
        assert "\n" not in statement and ";" not in statement and '"' not in statement


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"database": "MARKET; DROP DATABASE X"}, "no plain Snowflake name"),
        ({"prefix": "1_"}, "no plain Snowflake name"),
        ({"prefix": "DEV-"}, "no plain Snowflake name"),
        ({"credit_quota": 0}, "one credit a month"),
        ({"retention_days": 91}, "0 to 90 days"),
        ({"allowed_ranges": ("203.0.113.1/24",)}, "no range of addresses"),
        ({"allowed_ranges": ("') --",)}, "no range of addresses"),
        ({"public_keys": {"SVC_LOADER": "x' y"}}, "no public key"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SetupError, match=says):
        Account(**wrong)


@pytest.mark.parametrize(
    ("url", "role", "says"),
    [
        ("https://bucket", None, "no URL of a bucket"),
        ("s3://my-bars/x' --", None, "no URL of a bucket"),
        ("s3://my-bars/x", None, "needs the role"),
        ("s3://my-bars/x", "admin", "no role of S3"),
        ("gcs://my-bars/x", "arn:aws:iam::123456789012:role/x", "no role of S3"),
        ("", "arn:aws:iam::123456789012:role/x", "no URL of a bucket"),
    ],
)
def test_a_bucket_needs_its_url_and_its_role(url: str, role: str | None, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        Storage(url, role)


class Refusing:
    """A connection whose cursor takes `taken` statements and refuses the next."""

    user = "ADMIN"

    def __init__(self, taken: int) -> None:
        self.left, self.executed = taken, list[str]()

    def cursor(self) -> "Refusing":
        return self

    def execute(self, statement: str) -> None:
        if not self.left:
            raise ProgrammingError(msg="Insufficient privileges to operate on account 'X'", errno=3001)
        self.left -= 1
        self.executed.append(statement)


PARTS = (Section("a", "USERADMIN", ("ONE", "TWO")), Section("b", "SYSADMIN", ("THREE",)))


def test_it_is_run_one_by_one_and_told() -> None:
    connection, told = Refusing(9), list[str]()

    def tell(number: int, count: int, role: str, statement: str) -> None:
        told.append(f"{number}/{count} {statement}")

    apply(connection, PARTS, tell)  # type: ignore[arg-type]
    assert connection.executed == ["USE ROLE USERADMIN", "ONE", "TWO", "USE ROLE SYSADMIN", "THREE"]
    assert told[-1] == "5/5 THREE"


def test_it_stops_at_the_first_refusal_and_names_statement_and_role() -> None:
    connection = Refusing(4)
    with pytest.raises(SetupError) as stopped:
        apply(connection, PARTS, lambda *_: None)  # type: ignore[arg-type]
    assert connection.executed[-1] == "USE ROLE SYSADMIN"
    for part in (
        "statement 5 of 5",
        "as SYSADMIN: THREE",
        "Insufficient privileges",
        "GRANT ROLE SYSADMIN TO USER ADMIN",
    ):
        assert part in str(stopped.value)


@pytest.mark.sandbox
def test_all_of_it_runs_on_the_emulator_twice(snowflake: Settings) -> None:
    """A statement that its role may not run, or that names what is not there, is refused: test_privileges."""
    account = replace(EVERYTHING, database=factories.feed_name().upper())
    with connect(snowflake) as connection:
        for _ in range(2):
            apply(connection, sections(account, FEEDS), lambda *_: None)
        found = connection.cursor().execute(
            f"SELECT table_name FROM {account.database}.information_schema.tables "
            "WHERE table_schema = 'RAW' AND table_name LIKE '%_BARS'"
        )
    assert {name for (name,) in found} == {"REJECTED_BARS", *(f"{name.upper()}_BARS" for name in FEEDS)}
