"""`crypto-platform snowflake setup` as a person runs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest
from snowflake.connector.errors import DatabaseError, ProgrammingError
from typer.testing import CliRunner, Result

from crypto_platform.cli.app import app
from crypto_platform.settings import Settings, settings, use


@pytest.fixture
def chosen(fresh_settings: Settings, using: Callable[[Settings], Settings]) -> Settings:
    return using(fresh_settings)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["snowflake", "setup", *arguments])


@pytest.mark.usefixtures("chosen")
def test_it_prints_sql_and_the_settings_that_follow_from_it() -> None:
    answer = run("--prefix", "DEV_", "--credit-quota", "7")
    assert answer.exit_code == 0
    assert "CREATE ROLE IF NOT EXISTS DEV_LOADER " in answer.output
    assert "CREDIT_QUOTA = 7;" in answer.output
    assert (
        "--   SNOWFLAKE_USER=DEV_SVC_LOADER SNOWFLAKE_ROLE=DEV_LOADER SNOWFLAKE_WAREHOUSE=DEV_LOADING" in answer.output
    )


@pytest.mark.usefixtures("chosen")
def test_generated_private_keys_are_in_files_and_nowhere_else(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    first = run("--keys", str(keys), "--generate-keys")
    assert first.exit_code == 0
    assert first.stdout.count("RSA_PUBLIC_KEY") == 3
    for file in keys.glob("*.p8"):
        secret = file.read_text().splitlines()[1:-1]
        assert not any(line in first.output for line in secret)
    assert run("--keys", str(keys), "--generate-keys").stdout == first.stdout
    assert run("--keys", str(keys)).stdout == first.stdout


@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--generate-keys"], "needs the folder, --keys"),
        (["--allow", "everywhere"], "no range of addresses"),
        (["--storage-url", "s3://my-bars"], "needs the role"),
        (["--storage-aws-role", "arn:aws:iam::123456789012:role/x"], "no URL of a bucket"),
        (["--retention-days", "365"], "0 to 90 days"),
    ],
)
def test_what_cannot_be_is_one_sentence(wrong: list[str], says: str) -> None:
    answer = run(*wrong)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert says in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_half_of_a_pair_is_one_sentence(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNOWFLAKE_EXTERNAL_STAGE", "RAW.LANDING")
    settings.cache_clear()
    answer = run()
    assert answer.exit_code == 2
    assert answer.stderr == "SNOWFLAKE_EXTERNAL_STAGE is set and STAGE_URL is not: set both or neither\n"


class Account:
    """What stands in for a session on an account: it keeps what is executed, and refuses from `refused` on."""

    user = "ADMIN"

    def __init__(self, refused: str = "nothing") -> None:
        self.refused, self.executed = refused, list[str]()

    def cursor(self) -> "Account":
        return self

    def execute(self, statement: str) -> None:
        if statement.startswith(self.refused):
            raise ProgrammingError(msg="Insufficient privileges to operate on account", errno=3001)
        self.executed.append(statement)


@pytest.fixture
def applied(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """An account that takes the login; `settings` are those of the login."""
    use(
        chosen.model_copy(
            update={
                "snowflake_account": "org-account",
                "snowflake_private_key_file": Path("admin.p8"),
                "snowflake_role": "LOADER",
            }
        )
    )
    state = SimpleNamespace(account=Account(), settings=None)

    @contextmanager
    def connect(given: Settings) -> Iterator[Any]:
        state.settings = given
        yield state.account

    monkeypatch.setattr("crypto_platform.connectors.snowflake.connection.connect", connect)
    yield state


def test_apply_runs_what_is_printed_and_shows_it(applied: SimpleNamespace) -> None:
    printed = [line.removesuffix(";") for line in run().stdout.splitlines() if line and not line.startswith("--")]
    answer = run("--apply")
    assert answer.exit_code == 0
    assert applied.account.executed == printed
    assert f"{len(printed)}/{len(printed)} USERADMIN: GRANT ROLE READER TO USER SVC_READER" in answer.stdout
    # The login's own: a role that the set-up is still to make would be refused.
    assert applied.settings.snowflake_role is None


def test_apply_stops_where_it_is_refused(applied: SimpleNamespace) -> None:
    applied.account.refused = "CREATE RESOURCE MONITOR"
    answer = run("--apply")
    assert answer.exit_code == 1
    assert "as ACCOUNTADMIN: CREATE RESOURCE MONITOR" in answer.stderr
    assert "GRANT ROLE ACCOUNTADMIN TO USER ADMIN" in answer.stderr
    assert not any("NETWORK" in statement for statement in applied.account.executed)


def test_a_login_that_is_refused_is_snowflake_s_own_sentence(
    applied: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def refuse(given: Settings) -> Iterator[Any]:
        raise DatabaseError(msg="JWT token is invalid.", errno=390144)
        yield

    monkeypatch.setattr("crypto_platform.connectors.snowflake.connection.connect", refuse)
    answer = run("--apply")
    assert answer.exit_code == 1
    assert "JWT token is invalid." in answer.stderr


def test_costs_are_of_an_account(chosen: Settings) -> None:
    answer = CliRunner().invoke(app, ["snowflake", "costs"])
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr == "SNOWFLAKE_ACCOUNT is not set: the emulator meters nothing\n"


@pytest.mark.usefixtures("applied")
def test_costs_are_built_as_dbt_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypto_platform.connectors.snowflake import query
    from crypto_platform.transform import build as building
    from crypto_platform.transform import costs

    asked: list[Any] = []

    @contextmanager
    def answer(given: Settings, sql: str, values: tuple[int]) -> Iterator[query.Result]:
        asked.append((given.snowflake_account, values))
        yield query.Result(["day", "component", "credits"], [("2026-03-01", "load", 0.75)])

    monkeypatch.setattr(
        building.subprocess, "run", lambda command, **_: asked.append(command) or CompletedProcess([], 0)
    )
    monkeypatch.setattr(query, "query", answer)
    shown = CliRunner().invoke(app, ["snowflake", "costs", "--days", "3"])
    assert shown.exit_code == 0, shown.output
    assert "load" in shown.stdout and "0.75" in shown.stdout
    command, of = asked
    assert of == ("org-account", (3,))
    assert command[2] == "build" and str(costs.COSTS_DIR) in command


@pytest.mark.usefixtures("applied")
def test_dbt_s_words_and_the_remedy_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypto_platform.transform import build as building

    refused = CompletedProcess([], 1, "Object 'SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY' does not exist", "")
    monkeypatch.setattr(building.subprocess, "run", lambda command, **_: refused)
    answer = CliRunner().invoke(app, ["snowflake", "costs"])
    assert answer.exit_code == 1
    assert "QUERY_HISTORY' does not exist" in answer.stderr and "setup --costs" in answer.stderr
