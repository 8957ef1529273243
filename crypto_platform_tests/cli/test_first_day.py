"""The first day as a person has it: on the embedded systems in full, on an account by what would be sent to it."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from crypto_platform.cli import doctor, pipeline
from crypto_platform.cli.app import app
from crypto_platform.cli.first_day import _settings_of_trial
from crypto_platform.cli.runs import MaterializationRequest, Run, Stage
from crypto_platform.connectors.kafka import admin
from crypto_platform.connectors.snowflake import connection, credits, query_history
from crypto_platform.sandbox import supervise
from crypto_platform.settings import PROJECT_ROOT, Settings


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["first-day", *arguments])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_day_goes_through_every_stage_and_leaves_nothing_but_the_report(
    fresh_settings: Settings,
    using: Callable[[Settings], Settings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    chosen = using(fresh_settings)
    # Whatever else this machine is at.
    monkeypatch.setattr(doctor, "NEEDED_MEMORY", 0)
    monkeypatch.setattr(doctor, "NEEDED_DISK", 0)
    report = tmp_path / "report.md"
    answer = run("--report", str(report))
    assert answer.exit_code == 0, answer.output
    says = report.read_text()
    assert says.startswith("# First day\n\n**Passed.**\ncrypto, BTC/USD, the UTC day 2026-05-31.")
    assert "| Alpaca | the sandbox server: **recorded bars**, nothing was requested from Alpaca |" in says
    assert "| Snowflake | **emulator**, not Snowflake |" in says
    stages = dict(re.findall(r"^\| (alpaca|kafka|raw) \| ([\d,]+ \|[ \d,|]+) [\d.]+ \|$", says, re.MULTILINE))
    assert stages == {"alpaca": "1,440 |  |  |  |", "kafka": "1,440 |  |  |  |", "raw": "1,440 | 1,440 | 0 | 0 |"}
    assert "| limit | 200 a minute (ALPACA_REQUESTS_PER_MINUTE): 0:00:00 at the least |" in says
    assert "| alpaca | 1 requests, 0 retries, 0.0 s waited for the limit |" in says
    assert "| MARTS.FCT_BARS, bars | 1,440 |" in says
    statements = dict(re.findall(r"^\| (load|checks|dbt) \| ([\d,]+) \|$", says, re.MULTILINE))
    assert int(statements["dbt"].replace(",", "")) > int(statements["load"]) > 10
    assert re.search(r"Estimated at 0\.\d{4} credits: one X-Small warehouse", says)
    assert re.search(r"\| the folder .*first-day \| removed \|", says)
    # Neither where it ran nor by whom.
    assert not [told for told in (str(tmp_path), str(PROJECT_ROOT)) if told in says]
    assert not (chosen.crypto_platform_home / "first-day").exists()
    assert supervise.running(chosen) is None


class Account:
    """What is sent to an account, by database of the session."""

    def __init__(self, fails: str = "") -> None:
        self.sent: list[tuple[str, str]] = []
        self._fails = fails

    @contextmanager
    def connect(self, settings: Settings, component: str = "platform") -> Iterator[Any]:
        def execute(statement: str, *_: Any) -> None:
            self.sent.append((settings.snowflake_database, statement))
            if self._fails and self._fails in statement:
                raise RuntimeError(f"003001: insufficient privileges of {settings.snowflake_user} at ACME-PROD")

        yield SimpleNamespace(cursor=lambda: SimpleNamespace(execute=execute))


DATABASE = "MARKET_FIRST_DAY"
CREATE = (
    DATABASE,
    f"CREATE DATABASE {DATABASE} DATA_RETENTION_TIME_IN_DAYS = 0 COMMENT = 'crypto_platform: first-day'",
)
DROP = (DATABASE, f"DROP DATABASE IF EXISTS {DATABASE}")
BEGAN = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def account(
    fresh_settings: Settings, using: Callable[[Settings], Settings], monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A machine of which nothing is started, with an account, a cluster and keys in its settings."""
    monkeypatch.setattr(
        doctor, "examine", lambda _: iter([doctor.Finding("snowflake", "no MARKET at acme-prod", "set up")])
    )
    monkeypatch.setattr(supervise, "sandbox", lambda settings, *_: nullcontext(settings))
    monkeypatch.setattr(query_history, "statements", lambda *_: [query_history.Statements("load", 14, BEGAN, BEGAN)])
    monkeypatch.setattr(query_history, "warehouse_size", lambda _: "Small")
    # The cluster is nobody's: each deletion would look for it on the network, for as long as a request may take.
    monkeypatch.setattr(admin, "present", lambda _, topics: set())
    monkeypatch.setattr(admin, "delete", lambda _, topics: None)
    update = {"snowflake_account": "acme-prod", "snowflake_user": "SVC_LOADER", "apca_api_key_id": SecretStr("PK0123")}
    update |= {"snowflake_private_key_file": Path("/keys/x.p8"), "kafka_bootstrap_servers": "k1.acme.io:9093"}
    return using(fresh_settings.model_copy(update=update))


def failing(request: MaterializationRequest, *_: Any) -> Run:
    stages = [Stage("alpaca", 1.0, {"bars": 1440, "requests": 1, "retries": {}})]
    return Run("id", request, stages, ["SASL of PK0123 at k1.acme.io:9093 failed"], 2.0, "kafka")


def passing(request: MaterializationRequest, *_: Any) -> Run:
    return Run("id", request, [], [], 2.0)


def test_a_failing_stage_is_reported_without_secrets_and_cleaned_up_after(
    account: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deleted: list[str] = []
    monkeypatch.setattr(admin, "delete", lambda _, topics: deleted.extend(topics))
    monkeypatch.setattr(pipeline, "run", failing)
    snowflake = Account()
    monkeypatch.setattr(connection, "connect", snowflake.connect)
    answer = run("--live", "--day", "2026-03-01", "--report", str(tmp_path / "report.md"))
    assert answer.exit_code == 1, answer.output
    says = (tmp_path / "report.md").read_text()
    assert "**Failed at kafka.**" in says
    assert "SASL of <APCA_API_KEY_ID> at <KAFKA_BOOTSTRAP_SERVERS> failed" in says
    assert "What to do: the brokers' login and ACLs" in says
    assert "| snowflake | **failed** | no MARKET at <SNOWFLAKE_ACCOUNT> | set up |" in says
    assert "| Alpaca | Alpaca: the market's bars |" in says
    assert "Estimated at 0.0333 credits: one Small warehouse" in says
    assert not [word for word in ("acme", "PK0123", "SVC_LOADER", "/keys") if word in says]
    assert (snowflake.sent, deleted) == ([CREATE, DROP], ["market.crypto.bars"])
    assert not (account.crypto_platform_home / "first-day").exists()


def test_figures_that_cannot_be_had_do_not_hide_what_failed(
    account: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: Any) -> Any:
        raise ConnectionError("acme-prod does not answer")

    monkeypatch.setattr(query_history, "statements", unreachable)
    monkeypatch.setattr(connection, "connect", Account().connect)
    for run_of, stage in ((failing, "kafka"), (passing, "figures")):
        monkeypatch.setattr(pipeline, "run", run_of)
        assert run("--live", "--day", "2026-03-01", "--report", str(tmp_path / f"{stage}.md")).exit_code == 1
        assert f"**Failed at {stage}.**" in (tmp_path / f"{stage}.md").read_text()
    assert "ConnectionError: <SNOWFLAKE_ACCOUNT> does not answer" in (tmp_path / "figures.md").read_text()


def test_what_was_there_before_is_left_alone(
    account: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snowflake = Account(fails="CREATE")
    monkeypatch.setattr(connection, "connect", snowflake.connect)
    answer = run("--live", "--day", "2026-03-01", "--report", str(tmp_path / "database.md"))
    assert answer.exit_code == 1
    assert "**Failed at database.**" in (tmp_path / "database.md").read_text()
    # It may be somebody's.
    assert snowflake.sent == [CREATE]

    monkeypatch.setattr(admin, "present", lambda *_: {"market.crypto.bars"})
    monkeypatch.setattr(admin, "delete", lambda *_: pytest.fail("a topic that was there"))
    answer = run("--live", "--day", "2026-03-01", "--report", str(tmp_path / "topic.md"))
    assert "market.crypto.bars is on the cluster already" in answer.output
    assert snowflake.sent == [CREATE]

    (account.crypto_platform_home / "first-day").mkdir()
    answer = run("--live", "--day", "2026-03-01", "--report", str(tmp_path / "home.md"))
    assert (answer.exit_code, "is there already" in answer.output) == (2, True)
    assert (account.crypto_platform_home / "first-day").exists()


def test_kept_it_says_how_to_remove_it_and_what_could_not_be_removed_too(
    account: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pipeline, "run", failing)
    monkeypatch.setattr(connection, "connect", Account().connect)
    run("--live", "--day", "2026-03-01", "--keep", "--report", str(tmp_path / "kept.md"))
    assert f"kept; to remove it: DROP DATABASE {DATABASE}" in (tmp_path / "kept.md").read_text()
    folder = account.crypto_platform_home / "first-day"
    assert folder.is_dir()
    shutil.rmtree(folder)
    monkeypatch.setattr(connection, "connect", Account(fails="DROP").connect)
    run("--live", "--day", "2026-03-01", "--report", str(tmp_path / "stuck.md"))
    says = (tmp_path / "stuck.md").read_text()
    assert f"**not removed**: 003001: insufficient privileges of <SNOWFLAKE_USER> at <SNOWFLAKE_ACCOUNT>. By hand: DROP DATABASE {DATABASE}" in says  # fmt: skip  # noqa: E501
    assert not folder.exists()


def test_an_interruption_is_reported_and_cleaned_up_after(
    account: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupted)
    snowflake = Account()
    monkeypatch.setattr(connection, "connect", snowflake.connect)
    assert run("--live", "--day", "2026-03-01", "--report", str(tmp_path / "report.md")).exit_code == 1
    assert "**Failed at an interruption.**" in (tmp_path / "report.md").read_text()
    assert snowflake.sent == [CREATE, DROP]
    assert not (account.crypto_platform_home / "first-day").exists()


def test_checks_that_fail_end_it_before_anything_is_made(
    account: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snowflake = Account()
    monkeypatch.setattr(connection, "connect", snowflake.connect)
    monkeypatch.setattr(
        doctor, "examine", lambda _: iter([doctor.Finding("alpaca", "PK0123 is refused", "see the key")])
    )
    assert run("--live", "--day", "2026-03-01", "--report", str(tmp_path / "report.md")).exit_code == 1
    says = (tmp_path / "report.md").read_text()
    assert "**Failed at checks.**" in says
    assert "alpaca: <APCA_API_KEY_ID> is refused\n→ see the key" in says
    assert snowflake.sent == []
    assert list(account.crypto_platform_home.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--feed", "none"], "there is no feed 'none'"),
        (["--symbols", "XRP/USD"], "XRP/USD is not among the symbols"),
        (["--live", "--simulated"], "choose one of"),
        (["--report", "nowhere/at/all.md"], "in a folder that is there"),
        (["--day", "2999-01-01"], "the last whole UTC day is"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_started(
    fresh_settings: Settings, using: Callable[[Settings], Settings], wrong: list[str], says: str
) -> None:
    chosen = using(fresh_settings)
    answer = run(*wrong)
    assert (answer.exit_code, says in " ".join(answer.output.split())) == (2, True), answer.output
    assert not chosen.crypto_platform_home.exists()


def test_the_trial_has_no_store_channel_or_collector_of_the_platforms() -> None:
    stores = {
        name: "x" for name in Settings.model_fields if name.startswith(("alert_", "openlineage_", "superset_snow"))
    }
    set_here = {
        "dagster_postgres_url": "x",
        "dagster_home": "x",
        "lake_url": "s3://bucket/lake",
        "snowflake_dbt_user": "x",
    }
    trial = _settings_of_trial(Settings().model_copy(update=stores | set_here | {"snowflake_database": "ACME"}))
    default = Settings()
    assert [name for name in stores if getattr(trial, name) != getattr(default, name) and getattr(trial, name)] == []
    assert (trial.dagster_postgres_url, trial.dagster_home, trial.snowflake_dbt_user) == (None, None, None)
    assert trial.snowflake_database == "ACME_FIRST_DAY"
    assert trial.lake.startswith("s3://bucket/lake/first-day-2")


def test_the_credits_are_those_of_the_documentation() -> None:
    """docs/how-to/snowflake.md, what the loader costs: ten seconds each interval."""
    page = (PROJECT_ROOT / "docs" / "how-to" / "snowflake.md").read_text()
    for interval, wakes in ((300, 288), (900, 96)):
        assert f"| {interval}" in page
        assert f"| {wakes * credits.credits_of(10):.1f} |" in page
    assert credits.credits_of(0) == credits.MINIMUM_SECONDS / 3600
    hour = timedelta(hours=1).total_seconds() - credits.AUTO_SUSPEND_SECONDS
    assert [credits.credits_of(hour, size) for size in credits.CREDITS_AN_HOUR] == [2**n for n in range(8)]


def test_the_newest_day_is_one_that_is_whole(fresh_settings: Settings, using: Callable[[Settings], Settings]) -> None:
    from crypto_platform.cli.first_day import _started
    from crypto_platform.cli.source_option import SourceOption

    chosen = using(fresh_settings)
    found = {
        feed: _started(chosen, chosen, source, feed, "", None).day
        for feed, source in (("crypto", SourceOption()), ("us_equity", SourceOption(live=True)))
    }
    assert found["crypto"] == date(2026, 5, 31)
    assert found["us_equity"] < datetime.now(UTC).date()
    assert found["us_equity"].weekday() < 5
