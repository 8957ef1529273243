"""The doctor's questions to an account, over answers of the shape that Snowflake's documentation shows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

from crypto_platform.connectors.snowflake.account_checks import clock, granted, lacks, staged
from crypto_platform.connectors.snowflake.grants import NEEDED, Place
from crypto_platform.connectors.snowflake.schema import tables
from crypto_platform.market.bars import BARS
from crypto_platform.settings import Settings
from crypto_platform_tests.connectors.snowflake.test_grants import shown, shown_of_future

NOW = datetime(2026, 3, 7, 12, tzinfo=UTC)
FEEDS = {"crypto": (BARS,)}
STAGE = "MARKET.RAW.LANDING"
TABLES = tuple(f"MARKET.{table}" for table in tables(FEEDS))
REFUSED = ProgrammingError(msg="SQL access control error: Insufficient privileges", errno=3001)

Answer = Sequence[dict[str, Any]] | ProgrammingError


class Told:
    """A connection that answers each statement with rows by their columns' names, or fails."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers, self.rows = answers, list[dict[str, Any]]()

    def cursor(self) -> "Told":
        return self

    def execute(self, statement: str, *_: object, **__: object) -> None:
        answer = self.answers[statement]
        if isinstance(answer, ProgrammingError):
            raise answer
        self.rows = list(answer)

    @property
    def description(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in (self.rows[0] if self.rows else {})]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.rows]


def account(service: str, place: Place, **session: Any) -> dict[str, Answer]:
    """The answers of an account on which the set-up was run."""
    needed = NEEDED[service](place)
    state = {"role": service, "warehouse": "LOADING", "database": "MARKET", "sysdate": NOW.replace(tzinfo=None)}
    return {
        "SELECT current_role(), current_warehouse(), current_database(), SYSDATE()": [state | session],
        f"SHOW GRANTS TO ROLE {service}": list(shown(needed, service)),
        f"SHOW FUTURE GRANTS TO ROLE {service}": list(shown_of_future(needed, service)),
        f"DESCRIBE STAGE {STAGE}": [
            {
                "parent_property": "STAGE_LOCATION",
                "property": "URL",
                "property_type": "String",
                "property_value": '["s3://my-bars/platform/"]',
                "property_default": "",
            }
        ],
        f"LIST @{STAGE}/doctor/": [],
    }


@pytest.fixture
def settings() -> Settings:
    return Settings(
        snowflake_account="org-account",
        snowflake_user="SVC_LOADER",
        stage_url="s3://my-bars/platform/",
        snowflake_external_stage=STAGE,
    )


def found(answers: dict[str, Answer], settings: Settings, role: str = "LOADER") -> list[tuple[str, str]]:
    told: Any = Told(answers)
    return [(lack.found, lack.remediation) for lack in lacks(told, settings, role, FEEDS, lambda: NOW)]


@pytest.mark.parametrize("role", NEEDED)
def test_an_account_that_is_set_up_lacks_nothing(role: str, settings: Settings) -> None:
    assert found(account(role, Place("MARKET", "LOADING", STAGE, TABLES)), settings, role) == []


def test_a_missing_privilege_comes_with_its_grant(settings: Settings) -> None:
    answers = account("LOADER", Place("MARKET", "LOADING", STAGE, TABLES))
    rows: Any = answers["SHOW GRANTS TO ROLE LOADER"]
    answers["SHOW GRANTS TO ROLE LOADER"] = [
        row for row in rows if (row["privilege"], row["name"]) != ("INSERT", "MARKET.RAW.LOADS")
    ]
    assert found(answers, settings) == [
        ("LOADER lacks a privilege", "GRANT INSERT ON ALL TABLES IN SCHEMA MARKET.RAW TO ROLE LOADER;")
    ]


def test_a_session_without_role_warehouse_or_database_says_so(settings: Settings) -> None:
    place = Place("MARKET", "LOADING", STAGE, TABLES)
    ((says, remediation),) = found(account("LOADER", place, role=None), settings)
    assert says == "the session has no role"
    assert remediation.startswith("GRANT ROLE LOADER TO USER SVC_LOADER")
    without = found(account("LOADER", place, warehouse=None, database=None), settings)
    assert [says for says, _ in without] == [
        "the database MARKET is not there, or not for LOADER",
        "the session has no warehouse: none is set",
    ]
    named = settings.model_copy(update={"snowflake_warehouse": "LOADING"})
    (says, _), *_ = found(account("LOADER", place, warehouse=None), named)
    assert says == "the session has no warehouse: LOADING is not there, or not for LOADER"


def test_a_missing_grant_on_what_is_to_come_is_named_where_others_are_seen(settings: Settings) -> None:
    answers = account("LOADER", Place("MARKET", "LOADING", STAGE, TABLES))
    rows: Any = answers["SHOW FUTURE GRANTS TO ROLE LOADER"]
    answers["SHOW FUTURE GRANTS TO ROLE LOADER"] = [row for row in rows if row["privilege"] != "INSERT"]
    assert [remediation for _, remediation in found(answers, settings)] == [
        "GRANT INSERT ON FUTURE TABLES IN SCHEMA MARKET.RAW TO ROLE LOADER;"
    ]
    for nothing in (REFUSED, []):
        answers["SHOW FUTURE GRANTS TO ROLE LOADER"] = nothing
        assert found(answers, settings) == []


def test_what_a_granted_role_holds_counts() -> None:
    usage = {"privilege": "USAGE", "granted_on": "ROLE", "name": "LOADER"}
    told: Any = Told(
        {
            "SHOW GRANTS TO ROLE ETL": [usage],
            "SHOW FUTURE GRANTS TO ROLE ETL": [],
            "SHOW GRANTS TO ROLE LOADER": [{"privilege": "USAGE", "granted_on": "DATABASE", "name": "MARKET"}],
            "SHOW FUTURE GRANTS TO ROLE LOADER": REFUSED,
        }
    )
    has, sees_future = granted(told, "ETL")
    assert ("USAGE", "DATABASE", "MARKET") in has
    assert not sees_future


def test_a_role_with_an_odd_name_is_quoted() -> None:
    told: Any = Told({'SHOW GRANTS TO ROLE "e""tl"': [], 'SHOW FUTURE GRANTS TO ROLE "e""tl"': []})
    assert granted(told, 'e"tl') == (set(), False)


@pytest.mark.parametrize(("seconds", "says"), [(4, None), (-4, None), (61, "61 s ahead of"), (-61, "61 s behind")])
def test_a_clock_that_is_off_is_told(seconds: int, says: str | None) -> None:
    told = list(clock(NOW.replace(tzinfo=None), NOW + timedelta(seconds=seconds)))
    assert [says in lack.found for lack in told if says] == [True] * (says is not None)
    assert len(told) == (says is not None)


@pytest.mark.parametrize("url", ["s3://my-bars/platform", "s3a://my-bars/platform/"])
def test_a_stage_over_the_place_of_the_setting_is_well(url: str) -> None:
    told: Any = Told(account("LOADER", Place("MARKET", "LOADING")))
    assert list(staged(told, STAGE, url, "LOADER")) == []


def test_a_stage_over_another_place_or_without_a_way_in_is_told() -> None:
    answers = account("LOADER", Place("MARKET", "LOADING"))
    told: Any = Told(answers)
    (other,) = staged(told, STAGE, "s3://others/platform", "LOADER")
    assert "STAGE_URL is s3://others/platform" in other.found
    told = Told(answers | {f"LIST @{STAGE}/doctor/": REFUSED})
    (closed,) = staged(told, STAGE, "s3://my-bars/platform", "LOADER")
    assert closed.remediation.startswith(f"GRANT USAGE ON STAGE {STAGE} TO ROLE LOADER")
