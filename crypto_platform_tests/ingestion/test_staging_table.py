"""What a load sends to make its scratch table; no account was at hand."""

import re
from dataclasses import replace
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from crypto_platform.connectors.snowflake.account import Account, Storage
from crypto_platform.connectors.snowflake.setup import sections
from crypto_platform.ingestion.stage import Staged
from crypto_platform.ingestion.staging_table import fill
from crypto_platform.market.bars import BARS
from crypto_platform.settings import Settings

LOAD = "20260101T000000_0123456789ab"
STAGED = Staged("s3://my-bars/platform/crypto/" + LOAD, ["part-0.zstd.parquet", "part-1.zstd.parquet"], 2, 0.1)


class Cursor:
    """Takes every statement, and says of COPY that it copied what Spark wrote."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def cursor(self) -> "Cursor":
        return self

    def execute(self, statement: str, *_: object, **__: object) -> None:
        self.sent.append(statement)

    def fetchall(self) -> list[tuple[str]]:
        return [(f"platform/{name}",) for name in re.findall(r"'([^']+[.]parquet)'", self.sent[-1]) or STAGED.files]


@pytest.mark.parametrize("external", [None, "MARKET.RAW.LANDING"])
def test_on_an_account_table_and_stage_are_temporary(external: str | None) -> None:
    """Which takes no privilege: https://docs.snowflake.com/en/sql-reference/sql/create-table, and create-stage."""
    connection: Any = Cursor()
    settings = Settings(
        snowflake_account="org-account",
        stage_url="s3://my-bars/platform" if external else None,
        snowflake_external_stage=external,
    )
    fill(connection, settings, BARS, LOAD, STAGED)
    parsed = [sqlglot.parse_one(statement, dialect="snowflake") for statement in connection.sent]
    assert not any(isinstance(one, exp.Command) for one in parsed)
    created = [one for one in parsed if isinstance(one, exp.Create)]
    assert len(created) == (1 if external else 2)
    assert all(one.find(exp.TemporaryProperty) for one in created)
    copy = next(statement for statement in connection.sent if statement.startswith("COPY"))
    if external:
        assert f"FROM @{external}/crypto/{LOAD}/ FILES = ('part-0.zstd.parquet', 'part-1.zstd.parquet') " in copy
        assert "PURGE" not in copy
    else:
        assert f"FROM @RAW.STAGE_{LOAD.upper()} " in copy


def test_a_statement_names_no_more_files_than_snowflake_takes() -> None:
    """1,000: https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#optional-parameters"""
    connection: Any = Cursor()
    settings = Settings(
        snowflake_account="org-account",
        stage_url="s3://my-bars/platform",
        snowflake_external_stage="MARKET.RAW.LANDING",
    )
    files = [f"part-{n}.parquet" for n in range(2_001)]
    fill(connection, settings, BARS, LOAD, replace(STAGED, files=files))
    copies = [statement for statement in connection.sent if statement.startswith("COPY")]
    assert [statement.count(".parquet") for statement in copies] == [1_000, 1_000, 1]


@pytest.mark.parametrize("url", ["s3://my-bars/platform", "s3://my-bars/platform/"])
def test_a_last_slash_of_the_stage_s_url_does_not_matter(url: str) -> None:
    """Where Spark writes, where COPY reads, and what the set-up makes the stage over are one folder.

    https://docs.snowflake.com/en/sql-reference/sql/create-stage#external-stage-parameters-externalstageparams
    """
    settings = Settings(snowflake_account="org-account", stage_url=url, snowflake_external_stage="MARKET.RAW.LANDING")
    written = f"{settings.stage}/crypto/{LOAD}"
    assert written == f"s3://my-bars/platform/crypto/{LOAD}"
    connection: Any = Cursor()
    fill(connection, settings, BARS, LOAD, replace(STAGED, path=written))
    assert f" FROM @MARKET.RAW.LANDING/crypto/{LOAD}/ FILES = " in connection.sent[-1]
    account = Account(storage=Storage(url, "arn:aws:iam::123456789012:role/snowflake"))
    made = [statement for part in sections(account, {}) for statement in part.statements]
    stages = [statement for statement in made if "MARKET.RAW.LANDING URL" in statement.replace("SET ", "")]
    assert len(stages) == 2
    for statement in stages:
        assert "URL = 's3://my-bars/platform/' STORAGE_INTEGRATION = LANDING" in statement
    (integration,) = (statement for statement in made if statement.startswith("CREATE STORAGE INTEGRATION"))
    assert "STORAGE_ALLOWED_LOCATIONS = ('s3://my-bars/platform/')" in integration
