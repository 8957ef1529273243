"""What a login lacks on its account, each with the statement or the setting that gives it.

Of what is asked here nothing reads a table: SHOW and DESCRIBE need no warehouse.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from crypto_platform.connectors.snowflake.account import IDENTIFIER
from crypto_platform.connectors.snowflake.grants import NEEDED, Place, Privilege, held, missing
from crypto_platform.connectors.snowflake.schema import tables
from crypto_platform.connectors.snowflake.setup import Feeds
from crypto_platform.connectors.snowflake.statements import rows
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

# A login by key is refused from a minute on; times of loads and of messages are compared to the second.
CLOCK_TOLERANCE = timedelta(seconds=5)
SET_UP = "`crypto-platform snowflake setup` prints what makes it, and the settings that name it"


@dataclass(frozen=True)
class Lack:
    """What is missing or wrong, and the statement or the setting to give it by."""

    found: str
    remediation: str


def lacks(
    connection: "SnowflakeConnection",
    settings: Settings,
    service: str,
    feeds: Feeds,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Lack]:
    """What the login of `settings` lacks to do the work of a service: LOADER, TRANSFORMER or READER."""
    before = now()
    ((role, warehouse, database, server),) = rows(
        connection.cursor(), "SELECT current_role(), current_warehouse(), current_database(), SYSDATE()"
    )
    between = before + (now() - before) / 2
    yield from clock(server, between)
    if role is None:
        yield Lack(
            "the session has no role",
            f"GRANT ROLE {service} TO USER {settings.snowflake_user}, and ALTER USER {settings.snowflake_user} SET "
            f"DEFAULT_ROLE = {service}",
        )
        return
    if database is None:
        yield Lack(f"the database {settings.snowflake_database} is not there, or not for {role}", SET_UP)
    named = warehouse or settings.snowflake_warehouse
    if warehouse is None:
        which = f"{named} is not there, or not for {role}" if named else "none is set"
        yield Lack(f"the session has no warehouse: {which}", SET_UP)
    stage = settings.snowflake_external_stage if service == "LOADER" else None
    yield from privileges(connection, settings, service, feeds, role, named, stage)
    if stage:
        yield from staged(connection, stage, settings.stage, role)


def clock(server: datetime, here: datetime) -> Iterator[Lack]:
    """A difference between Snowflake's clock, UTC without a zone, and this machine's."""
    difference = here - server.replace(tzinfo=UTC)
    if abs(difference) > CLOCK_TOLERANCE:
        ahead = "ahead of" if difference > timedelta(0) else "behind"
        yield Lack(
            f"this machine's clock is {abs(difference).total_seconds():.0f} s {ahead} Snowflake's",
            "set the clock by NTP: `timedatectl set-ntp true`",
        )


def privileges(
    connection: "SnowflakeConnection",
    settings: Settings,
    service: str,
    feeds: Feeds,
    role: str,
    warehouse: str | None,
    stage: str | None,
) -> Iterator[Lack]:
    """The privileges that the role lacks, a GRANT each."""
    database = settings.snowflake_database.upper()
    place = Place(
        database=database,
        warehouse=(warehouse or "").upper(),
        stage=stage and _full(stage, database),
        tables=tuple(f"{database}.{table}" for table in tables(feeds)),
    )
    has, sees_future = granted(connection, role)
    needed = (grant for grant in NEEDED[service](place) if grant.name)
    for statement in missing(needed, has, sees_future, _name(role)):
        yield Lack(f"{role} lacks a privilege", f"{statement};")


def granted(connection: "SnowflakeConnection", role: str) -> tuple[set[Privilege], bool]:
    """What a role holds, by the roles it was granted too, and whether it can see what it holds of objects to come.

    Snowflake's page on SHOW GRANTS leaves open whether a role without MANAGE GRANTS sees those; one that sees none is
    taken for one that may not.
    """
    from snowflake.connector.errors import ProgrammingError

    has: set[Privilege] = set()
    sees_future, seen, left = False, set(), [role]
    while left:
        one = left.pop()
        seen.add(one)
        found = _shown(connection, f"SHOW GRANTS TO ROLE {_name(one)}")
        has |= held(found)
        left += [
            str(row["name"])
            for row in found
            if row["granted_on"] == "ROLE" and row["privilege"] == "USAGE" and str(row["name"]) not in seen
        ]
        with suppress(ProgrammingError):
            future = held(_shown(connection, f"SHOW FUTURE GRANTS TO ROLE {_name(one)}"))
            has, sees_future = has | future, sees_future or bool(future)
    return has, sees_future


def staged(connection: "SnowflakeConnection", stage: str, url: str, role: str) -> Iterator[Lack]:
    """What keeps loads from an external stage: another place than STAGE_URL's, or no way into it."""
    from snowflake.connector.errors import ProgrammingError

    try:
        properties = _shown(connection, f"DESCRIBE STAGE {stage}")
        # Nothing is there, but Snowflake goes and looks.
        connection.cursor().execute(f"LIST @{stage}/doctor/")
    except ProgrammingError as error:
        yield Lack(
            f"stage {stage}: {error.msg}",
            f"GRANT USAGE ON STAGE {stage} TO ROLE {_name(role)}; `DESC INTEGRATION` says what the bucket must allow",
        )
        return
    places = [str(row["property_value"]) for row in properties if row["property"] == "URL"]
    # Spark writes to s3a://, Snowflake reads s3://, and fsspec takes gs:// for gcs://.
    if places and not any(_bucket(url) in place for place in places):
        yield Lack(f"stage {stage} is over {', '.join(places)}, STAGE_URL is {url}", "set STAGE_URL to the stage's URL")


def _bucket(url: str) -> str:
    return url.partition("://")[2].rstrip("/")


def _shown(connection: "SnowflakeConnection", statement: str) -> list[dict[str, Any]]:
    """The rows of a SHOW or DESCRIBE, by their columns' names: Snowflake adds columns now and then."""
    cursor = connection.cursor()
    cursor.execute(statement)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _full(name: str, database: str) -> str:
    """The whole name of an object that a setting may name in short."""
    parts = name.upper().split(".")
    return ".".join([database, "PUBLIC"][: 3 - len(parts)] + parts)


def _name(name: str) -> str:
    """A name that Snowflake gave, as SQL: quoted where it is no plain one."""
    return name if IDENTIFIER.fullmatch(name) else '"' + name.replace('"', '""') + '"'
