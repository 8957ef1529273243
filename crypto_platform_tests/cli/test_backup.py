"""`crypto-platform backup`, and the ledgers beside the lake, as a person runs them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crypto_platform.cli.app import app
from crypto_platform.connectors.lake import Lake, Section
from crypto_platform.settings import Settings
from crypto_platform_tests import factories


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lake_of(settings: Settings) -> Lake:
    """The lake, with one bar."""
    lake = Lake(settings.lake)
    section = Section(factories.OBSERVED, [factories.line("BTC/USD", factories.bar(0))])
    lake.write_day("crypto", "1Min", factories.DAY, {"BTC/USD": section}, "run")
    return lake


def test_a_home_is_backed_up_verified_and_restored(
    fresh_settings: Settings, using: Callable[[Settings], Settings], tmp_path: Path
) -> None:
    chosen = using(fresh_settings.model_copy(update={"alert_store_url": "postgresql://x:secret@db/alerts"}))
    lake_of(chosen)
    archive = tmp_path / "one.tar.zst"
    answer = run("backup", "create", "--no-ledgers", archive)
    assert answer.exit_code == 0, answer.output
    assert "Not in it is the alerts: the database of ALERT_STORE_URL: of Postgres, pg_dump" in answer.output
    assert "secret" not in answer.output
    assert run("backup", "create", "--no-ledgers", archive).exit_code == 1
    assert "lake; 1 files" in run("backup", "verify", archive).output

    answer = run("backup", "restore", archive)
    assert (answer.exit_code, "--replace" in answer.output) == (1, True)
    restored = using(chosen.model_copy(update={"crypto_platform_home": tmp_path / "restored"}))
    answer = run("backup", "restore", archive)
    assert answer.exit_code == 0, answer.output
    assert Lake(restored.lake).days("crypto", "1Min") == [factories.DAY]
    # Without the ledgers it is nothing to compare them with.
    answer = run("snowflake", "reconcile", "--backup", archive)
    assert (answer.exit_code, "--no-ledgers" in answer.output) == (2, True)

    archive.write_bytes(archive.read_bytes()[:-9])
    answer = run("backup", "verify", archive)
    assert (answer.exit_code, "is damaged" in answer.output) == (1, True)


@pytest.mark.sandbox
def test_a_warehouse_in_which_nothing_was_loaded_is_not_equal_to_the_lake(
    snowflake: Settings, using: Callable[[Settings], Settings], tmp_path: Path
) -> None:
    own = {"snowflake_database": "EMPTY", "lake_url": str(tmp_path / "lake")}
    lake_of(using(snowflake.model_copy(update=own)))
    answer = run("snowflake", "reconcile", "--feed", "crypto")
    assert answer.exit_code == 1, answer.output
    assert "RAW.CRYPTO_BARS 2026-01-02: 1 in the lake, 0 in the ledger\nNot equal." in answer.output
    assert run("snowflake", "reconcile", "--feed", "us_equity").output.endswith("Equal.\n")
