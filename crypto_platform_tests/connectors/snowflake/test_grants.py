"""What each role may do, and what SHOW GRANTS says it lacks.

No account was at hand: the rows have the columns and the spelling that Snowflake's documentation shows,
https://docs.snowflake.com/en/sql-reference/sql/show-grants and .../user-guide/security-access-control-configure.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from crypto_platform.connectors.snowflake.grants import NEEDED, Grant, Place, held, missing

PLACE = Place(
    "MARKET",
    "LOADING",
    "MARKET.RAW.LANDING",
    ("MARKET.RAW.LOADS", "MARKET.RAW.CRYPTO_BARS", "MARKET.RAW.CRYPTO_OFFSETS"),
)
CREATED_ON = datetime(2026, 3, 7, 17, 8, 43, tzinfo=UTC)


def shown(grants: tuple[Grant, ...], role: str) -> Iterator[dict[str, Any]]:
    """The rows of SHOW GRANTS TO ROLE after these grants."""
    for grant in grants:
        for name in grant.known if grant.of_schema else (grant.name,):
            for privilege in grant.privileges:
                yield {
                    "created_on": CREATED_ON,
                    "privilege": privilege,
                    "granted_on": grant.kind,
                    "name": name,
                    "granted_to": "ROLE",
                    "grantee_name": role,
                    "grant_option": "false",
                    "granted_by": "SECURITYADMIN",
                }


def shown_of_future(grants: tuple[Grant, ...], role: str) -> Iterator[dict[str, Any]]:
    """The rows of SHOW FUTURE GRANTS TO ROLE after these grants."""
    for grant in (grant for grant in grants if grant.of_schema):
        for privilege in grant.privileges:
            yield {
                "created_on": CREATED_ON,
                "privilege": privilege,
                "grant_on": grant.kind,
                "name": f"{grant.name}.<{grant.kind}>",
                "grant_to": "ROLE",
                "grantee_name": role,
                "grant_option": "false",
            }


def after_set_up(role: str) -> set[tuple[str, str, str]]:
    needed = NEEDED[role](PLACE)
    return held(shown(needed, role)) | held(shown_of_future(needed, role))


@pytest.mark.parametrize("role", NEEDED)
def test_after_the_set_up_nothing_is_missing(role: str) -> None:
    assert missing(NEEDED[role](PLACE), after_set_up(role), True, role) == []


@pytest.mark.parametrize("role", NEEDED)
def test_each_privilege_that_is_missing_is_named_with_its_grant(role: str) -> None:
    needed = NEEDED[role](PLACE)
    granted_by_the_set_up = {statement for grant in needed for statement in grant.statements(role)}
    has = after_set_up(role)
    for one in has:
        privilege, kind, name = one
        (statement,) = missing(needed, has - {one}, True, role)
        assert statement.startswith(f"GRANT {privilege} ON ")
        assert statement.endswith(f" TO ROLE {role}")
        schema = name.rpartition(".")[0]
        expected = {
            f"ON {kind} {name} ",
            f"ON ALL {kind}S IN SCHEMA {schema} ",
            f"ON FUTURE {kind}S IN SCHEMA {schema} ",
        }
        assert any(part in statement for part in expected), statement
        # What is said is a part of what the set-up grants.
        _, _, rest = statement.partition(" ON ")
        assert any(granted.endswith(f" ON {rest}") for granted in granted_by_the_set_up)


def test_without_anything_the_doctor_says_all_of_the_set_up() -> None:
    needed = NEEDED["READER"](PLACE)
    everything = [statement for grant in needed for statement in grant.statements("READER")]
    # Of objects whose names are not known only those to come can be looked for.
    assert missing(needed, set(), True, "READER") == [s for s in everything if " ON ALL " not in s]


def test_who_may_not_see_grants_on_what_is_to_come_is_not_told_of_them() -> None:
    has = {one for one in after_set_up("LOADER") if "<" not in one[2]}
    assert missing(NEEDED["LOADER"](PLACE), has, False, "LOADER") == []
    assert missing(NEEDED["LOADER"](PLACE), has, True, "LOADER") != []


def test_an_owner_needs_no_grant() -> None:
    names = ("MARKET", "DATABASE"), ("LOADING", "WAREHOUSE"), ("MARKET.RAW", "SCHEMA"), ("MARKET.MARTS", "SCHEMA")
    owned = [*names, ("MARKET.STAGING", "SCHEMA"), ("MARKET.RAW.LANDING", "STAGE")]
    owned += [(f"MARKET.RAW.{t}", "TABLE") for t in ("LOADS", "CRYPTO_BARS", "CRYPTO_OFFSETS", "REQUESTED_PARTITIONS")]
    has = {("OWNERSHIP", kind, name) for name, kind in owned}
    assert missing(NEEDED["LOADER"](PLACE), has, True, "LOADER") == []


def test_the_loader_creates_and_deletes_nothing_and_changes_only_how_far_it_is() -> None:
    changes = [g for g in NEEDED["LOADER"](PLACE) if set(g.privileges) - {"USAGE", "SELECT"}]
    assert {(p, g.name) for g in changes for p in g.privileges} == {
        ("SELECT", "MARKET.RAW"),
        ("INSERT", "MARKET.RAW"),
        ("UPDATE", "MARKET.RAW.CRYPTO_OFFSETS"),
        ("UPDATE", "MARKET.RAW.REQUESTED_PARTITIONS"),
    }


def test_the_transformer_only_reads_the_ledger() -> None:
    raw = [grant for grant in NEEDED["TRANSFORMER"](PLACE) if grant.name.startswith("MARKET.RAW")]
    assert {privilege for grant in raw for privilege in grant.privileges} == {"USAGE", "SELECT"}


def test_the_reader_reads_the_marts_and_nothing_else() -> None:
    needed = NEEDED["READER"](PLACE)
    assert {privilege for grant in needed for privilege in grant.privileges} == {"USAGE", "SELECT"}
    assert {grant.name for grant in needed} == {"MARKET", "LOADING", "MARKET.MARTS"}


def test_names_are_read_as_snowflake_shows_them() -> None:
    row = {"privilege": "USAGE", "granted_on": "DATABASE_ROLE", "name": '"MARKET"."odd"'}
    assert held([row]) == {("USAGE", "DATABASE ROLE", "MARKET.odd")}
