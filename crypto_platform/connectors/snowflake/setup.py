"""The set-up of an account as statements, each by the role that may: printed for a person, or run one by one.

A statement creates what lacks, or sets what may differ: run again it changes nothing. Nothing is replaced, which would
drop data and grants. No secret is in any of them: users have public keys.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto_platform.connectors.snowflake.account import DBT_SCHEMAS, Account, Service, SetupError, Storage
from crypto_platform.connectors.snowflake.credits import AUTO_SUSPEND_SECONDS
from crypto_platform.connectors.snowflake.grants import NEEDED, Place
from crypto_platform.connectors.snowflake.schema import SCHEMA, tables
from crypto_platform.market.dataset import Dataset

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

Feeds = Mapping[str, Iterable[Dataset]]


@dataclass(frozen=True)
class Section:
    """Statements of one purpose, run with one of the account's own roles."""

    purpose: str
    role: str
    statements: tuple[str, ...]


def sections(account: Account, feeds: Feeds) -> tuple[Section, ...]:
    """All of the set-up in the order of what needs what; `feeds` are those whose tables RAW is to have."""
    database, raw = account.database, f"{account.database}.{SCHEMA}"
    services = account.services
    made = (
        Section("Roles, below SYSADMIN so that its people see what they make", "USERADMIN", tuple(_roles(services))),
        Section(
            "Database and schemas; Time Travel of the ledger",
            "SYSADMIN",
            (
                f"CREATE DATABASE IF NOT EXISTS {database}",
                *(f"CREATE SCHEMA IF NOT EXISTS {database}.{schema}" for schema in (SCHEMA, *DBT_SCHEMAS)),
                f"ALTER SCHEMA {raw} SET DATA_RETENTION_TIME_IN_DAYS = {account.retention_days}",
                f"USE DATABASE {database}",
            ),
        ),
        Section("The tables that loads write to, so that no load has to create one", "SYSADMIN", _tables(feeds)),
        Section(
            "A warehouse a service, suspended after a minute without work", "SYSADMIN", tuple(_warehouses(account))
        ),
        Section("Credits of a month, of all three warehouses together", "ACCOUNTADMIN", tuple(_monitor(account))),
        Section("The external stage's way into the bucket", "ACCOUNTADMIN", tuple(_integration(account))),
        Section("The external stage", "SYSADMIN", tuple(_stage(account))),
        Section("Privileges, on what is there and on what is to come", "SECURITYADMIN", tuple(_grants(account, feeds))),
        Section(
            "What dbt's cost marts read: the account's statements and credits", "ACCOUNTADMIN", tuple(_usage(account))
        ),
        Section("Users without a password, with one role and their own limits", "USERADMIN", tuple(_users(account))),
        Section("The addresses that the users may come from", "SECURITYADMIN", tuple(_policy(account))),
    )
    return tuple(section for section in made if section.statements)


def script(account: Account, feeds: Feeds) -> Iterator[str]:
    """The lines of a script for a worksheet or SnowSQL, with comments for a person."""
    yield "-- Written by `crypto-platform snowflake setup`. A user who has ACCOUNTADMIN runs it, as often as you like:"
    yield "-- it creates what lacks, sets what differs, and replaces nothing."
    for user in (service.user for service in account.services if service.user not in account.public_keys):
        yield f"-- {user} has no public key in it (--keys) and cannot log in until there is one."
    if not account.allowed_ranges:
        yield "-- No addresses are given (--allow): the users may come from anywhere."
    for section in sections(account, feeds):
        yield ""
        yield f"-- {section.purpose}."
        yield f"USE ROLE {section.role};"
        yield from (f"{statement};" for statement in section.statements)
    yield ""
    yield from (f"-- {line}".rstrip() for line in settings_lines(account))


def settings_lines(account: Account) -> Iterator[str]:
    """What the platform's settings are then, and what is still to be done by hand."""
    loader, transformer, reader = account.services
    yield "The platform's settings then, each key file the private half of the user's key:"
    for prefix, service in (("SNOWFLAKE", loader), ("SNOWFLAKE_DBT", transformer), ("SUPERSET_SNOWFLAKE", reader)):
        yield f"  {prefix}_USER={service.user} {prefix}_ROLE={service.role} {prefix}_WAREHOUSE={service.warehouse}"
    yield f"  SNOWFLAKE_DATABASE={account.database}"
    if account.storage:
        yield f"  STAGE_URL={account.storage.url} SNOWFLAKE_EXTERNAL_STAGE={account.stage}"
        yield f"Let Snowflake into the bucket, by what `DESC INTEGRATION {_integration_name(account)}` shows:"
        cloud = "s3" if account.storage.is_s3 else "gcs"
        yield f"https://docs.snowflake.com/en/user-guide/data-load-{cloud}-config"
    yield "`crypto-platform doctor` checks the privileges."


def apply(
    connection: "SnowflakeConnection", parts: Iterable[Section], tell: Callable[[int, int, str, str], None]
) -> None:
    """Run the sections; `tell` is given (number, of how many, role, statement) before each statement.

    Raises:
        SetupError: Snowflake refused a statement; what went before stays, the rest was not tried.
    """
    from snowflake.connector.errors import Error

    todo = [(part.role, statement) for part in parts for statement in (f"USE ROLE {part.role}", *part.statements)]
    cursor = connection.cursor()
    for number, (role, statement) in enumerate(todo, 1):
        tell(number, len(todo), role, statement)
        try:
            cursor.execute(statement)
        except Error as error:
            raise SetupError(
                f"Snowflake refused statement {number} of {len(todo)}, as {role}: {statement}\n{error.msg or error}\n"
                f"The user {connection.user} needs the role {role} (GRANT ROLE {role} TO USER {connection.user}), and "
                f"{role} to own what is there already. What went before stays: run it again"
            ) from error


def _roles(services: Iterable[Service]) -> Iterator[str]:
    for service in services:
        yield f"CREATE ROLE IF NOT EXISTS {service.role} COMMENT = {_text(f'crypto_platform: {service.purpose}')}"
        yield f"GRANT ROLE {service.role} TO ROLE SYSADMIN"


def _tables(feeds: Feeds) -> tuple[str, ...]:
    return tuple(tables(feeds).values())


def _warehouses(account: Account) -> Iterator[str]:
    for service in account.services:
        yield (
            f"CREATE WAREHOUSE IF NOT EXISTS {service.warehouse} WAREHOUSE_SIZE = XSMALL INITIALLY_SUSPENDED = TRUE "
            f"COMMENT = {_text(f'crypto_platform: {service.purpose}')}"
        )
        # Its size stays as somebody may have set it since.
        yield (
            f"ALTER WAREHOUSE {service.warehouse} SET AUTO_SUSPEND = {AUTO_SUSPEND_SECONDS} AUTO_RESUME = TRUE "
            f"STATEMENT_TIMEOUT_IN_SECONDS = {service.statement_timeout} "
            f"STATEMENT_QUEUED_TIMEOUT_IN_SECONDS = {service.queued_timeout}"
        )


def _monitor(account: Account) -> Iterator[str]:
    name = account.named("MONTHLY_CREDITS")
    yield (
        f"CREATE RESOURCE MONITOR IF NOT EXISTS {name} WITH CREDIT_QUOTA = {account.credit_quota} "
        "FREQUENCY = MONTHLY START_TIMESTAMP = IMMEDIATELY "
        "TRIGGERS ON 80 PERCENT DO NOTIFY ON 100 PERCENT DO SUSPEND ON 110 PERCENT DO SUSPEND_IMMEDIATE"
    )
    yield f"ALTER RESOURCE MONITOR {name} SET CREDIT_QUOTA = {account.credit_quota}"
    yield from (f"ALTER WAREHOUSE {s.warehouse} SET RESOURCE_MONITOR = {name}" for s in account.services)


def _integration(account: Account) -> Iterator[str]:
    if account.storage:
        name, ways = _integration_name(account), _ways(account.storage)
        provider = "S3" if account.storage.is_s3 else "GCS"
        yield (
            f"CREATE STORAGE INTEGRATION IF NOT EXISTS {name} TYPE = EXTERNAL_STAGE "
            f"STORAGE_PROVIDER = '{provider}' {ways}"
        )
        yield f"ALTER STORAGE INTEGRATION {name} SET {ways}"
        yield f"GRANT USAGE ON INTEGRATION {name} TO ROLE SYSADMIN"


def _ways(storage: Storage) -> str:
    role = f"STORAGE_AWS_ROLE_ARN = {_text(storage.aws_role)} " if storage.aws_role else ""
    return f"ENABLED = TRUE {role}STORAGE_ALLOWED_LOCATIONS = ({_text(_folder(storage))})"


def _stage(account: Account) -> Iterator[str]:
    if account.storage:
        where = f"URL = {_text(_folder(account.storage))} STORAGE_INTEGRATION = {_integration_name(account)}"
        yield f"CREATE STAGE IF NOT EXISTS {account.stage} {where}"
        yield f"ALTER STAGE {account.stage} SET {where}"


def _grants(account: Account, feeds: Feeds) -> Iterator[str]:
    known = tuple(f"{account.database}.{table}" for table in tables(feeds))
    for service, needed in zip(account.services, NEEDED.values(), strict=True):
        for grant in needed(Place(account.database, service.warehouse, account.stage, known)):
            yield from grant.statements(service.role)


def _usage(account: Account) -> Iterator[str]:
    if account.costs:
        _, transformer, _ = account.services
        # Not IMPORTED PRIVILEGES, which show all of the database SNOWFLAKE. Which role has which view:
        # https://docs.snowflake.com/en/sql-reference/snowflake-db-roles
        for role in ("USAGE_VIEWER", "GOVERNANCE_VIEWER"):
            yield f"GRANT DATABASE ROLE SNOWFLAKE.{role} TO ROLE {transformer.role}"


def _users(account: Account) -> Iterator[str]:
    for service in account.services:
        key = account.public_keys.get(service.user)
        yield f"CREATE USER IF NOT EXISTS {service.user} TYPE = SERVICE"
        yield (
            f"ALTER USER {service.user} SET {f'RSA_PUBLIC_KEY = {_text(key)} ' if key else ''}"
            f"DEFAULT_ROLE = {service.role} DEFAULT_SECONDARY_ROLES = () DEFAULT_WAREHOUSE = {service.warehouse} "
            f"DEFAULT_NAMESPACE = {account.database} LOCK_TIMEOUT = {service.lock_timeout} "
            f"STATEMENT_TIMEOUT_IN_SECONDS = {service.statement_timeout} "
            f"STATEMENT_QUEUED_TIMEOUT_IN_SECONDS = {service.queued_timeout} "
            # What a dead client left running ends in minutes, and with it what it locks.
            "ABORT_DETACHED_QUERY = TRUE AUTOCOMMIT = TRUE TIMEZONE = 'UTC'"
        )
        yield f"GRANT ROLE {service.role} TO USER {service.user}"


def _policy(account: Account) -> Iterator[str]:
    if account.allowed_ranges:
        name = account.named("SERVICES_ONLY")
        addresses = f"ALLOWED_IP_LIST = ({', '.join(map(_text, account.allowed_ranges))})"
        yield f"CREATE NETWORK POLICY IF NOT EXISTS {name} {addresses}"
        yield f"ALTER NETWORK POLICY {name} SET {addresses}"
        # On the users alone: an account's policy can lock its people out.
        yield from (f"ALTER USER {service.user} SET NETWORK_POLICY = {name}" for service in account.services)


def _integration_name(account: Account) -> str:
    return account.named("LANDING")


def _folder(storage: Storage) -> str:
    """The URL as a folder's: without the slash a location is also the beginning of other names."""
    return f"{storage.url.rstrip('/')}/"


def _text(value: str) -> str:
    """A string literal: https://docs.snowflake.com/en/sql-reference/data-types-text#single-quoted-string-constants"""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
