"""A Snowflake to experiment on: the emulator in the suite, by `make test-snowflake` the account of the environment."""

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crypto_platform.connectors.snowflake.account import Account
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.setup import sections
from crypto_platform.market.bars import BARS
from crypto_platform.settings import Settings
from crypto_platform_tests import factories
from crypto_platform_tests.conftest import ACCOUNT

NO_ACCOUNT = (
    "SNOWFLAKE_ACCOUNT is not set: set it with SNOWFLAKE_USER, SNOWFLAKE_PRIVATE_KEY_FILE, SNOWFLAKE_ROLE (one that "
    "may create databases) and SNOWFLAKE_WAREHOUSE, as docs/how-to/snowflake.md says"
)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, marks=getattr(pytest.mark, mark))
        for name, mark in (("emulator", "sandbox"), ("account", "account"))
    ],
)
def target(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """A scratch database, dropped in the end; Kafka and Spark are the suite's own."""
    if request.param == "account" and not ACCOUNT["snowflake_account"]:
        pytest.skip(NO_ACCOUNT)
    sandbox: Settings = request.getfixturevalue("sandbox")
    own = ACCOUNT if request.param == "account" else {}
    database = f"CRYPTO_PLATFORM_TEST_{uuid.uuid4().hex[:8].upper()}"
    chosen = sandbox.model_copy(update=own | {"snowflake_database": database})
    with connect(chosen) as connection:
        connection.cursor().execute(f"CREATE DATABASE IF NOT EXISTS {database}")
    try:
        yield chosen
    finally:
        # The emulator's goes with its home.
        if not chosen.embedded_snowflake:
            with connect(chosen) as connection:
                connection.cursor().execute(f"DROP DATABASE IF EXISTS {database}")


@pytest.fixture
def feed(target: Settings) -> str:
    """A feed whose tables are there, as the set-up makes them."""
    name = factories.feed_name()
    known = re.compile(r"CREATE (SCHEMA|TABLE) |USE DATABASE ")
    with connect(target) as connection:
        for part in sections(Account(database=target.snowflake_database), {name: (BARS,)}):
            for statement in filter(known.match, part.statements):
                connection.cursor().execute(statement)
    return name


@pytest.fixture
def on_account(target: Settings) -> bool:
    return not target.embedded_snowflake


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Show what was measured, whatever pytest shows of output."""

    def told(**figures: Any) -> None:
        for name, figure in figures.items():
            record_property(name, figure)
        with capsys.disabled():
            print("  ", ", ".join(f"{name}: {figure}" for name, figure in figures.items()))

    return told
