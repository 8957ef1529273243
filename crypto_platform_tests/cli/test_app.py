import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests
from typer.testing import CliRunner

from crypto_platform.cli.app import app
from crypto_platform.sandbox import supervise
from crypto_platform.sandbox.supervisord import Supervisord
from crypto_platform.settings import Settings

COMMAND = [str(Path(sys.executable).parent / "crypto-platform")]


def run(settings: Settings, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings.environment(), **more}
    return subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_every_command_has_help_with_an_example() -> None:
    runner = CliRunner()
    groups = [((), app), *(((str(g.typer_instance.info.name),), g.typer_instance) for g in app.registered_groups)]
    for group, commands in groups:
        for command in commands.registered_commands:
            assert command.callback
            path = [*group, command.name or command.callback.__name__.replace("_", "-")]
            answer = runner.invoke(app, [*path, "--help"])
            assert answer.exit_code == 0
            shown = " ".join(answer.output.split())
            assert re.search(rf"Example: (\w+=\S+ )?crypto-platform {' '.join(path)}", shown), path


def test_the_command_and_its_services_load_nothing_heavy() -> None:
    script = "import sys, crypto_platform.cli.app, crypto_platform.sandbox.services; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"dagster", "pandas", "pyarrow", "pyspark", "snowflake.connector", "duckdb", "confluent_kafka", "alpaca"}
    assert not heavy & set(loaded)


@pytest.mark.slow
def test_a_wrong_usage_exits_with_2(fresh_settings: Settings) -> None:
    assert run(fresh_settings, "nonsense").returncode == 2
    assert "there are alpaca" in run(fresh_settings, "restart", "flink").stderr
    both = run(fresh_settings, "sql", "--csv", "--json", "select 1")
    assert both.returncode == 2
    assert "choose one" in both.stderr


def test_a_wrong_setting_is_named(fresh_settings: Settings) -> None:
    answer = run(fresh_settings, "status", SANDBOX_KAFKA_PORT="nine")
    assert answer.returncode == 2
    assert "SANDBOX_KAFKA_PORT: " in answer.stderr
    assert "Traceback" not in answer.stderr


def test_nothing_runs_in_a_fresh_home(fresh_settings: Settings) -> None:
    answer = run(fresh_settings, "status", "--json")
    assert {service["state"] for service in json.loads(answer.stdout)} == {"stopped"}
    assert run(fresh_settings, "down").stdout == "Nothing was running.\n"


def test_doctor_exits_with_1_when_something_is_wrong(fresh_settings: Settings, tmp_path: Path) -> None:
    answer = run(fresh_settings.model_copy(update={"jvm_jars": tmp_path}), "doctor")
    assert answer.returncode == 1
    assert "✗ jars: " in answer.stdout
    # In one line, whatever the terminal's width: it is there to be copied.
    assert re.search(r"^    → run `.+` \(make setup does\)$", answer.stdout, re.MULTILINE)


def test_status_tells_what_runs(sandbox: Settings) -> None:
    services = {service["name"]: service for service in json.loads(run(sandbox, "status", "--json").stdout)}
    assert {services[name]["state"] for name in supervise.PIPELINE} == {"running"}
    assert services["kafka"]["address"] == sandbox.kafka_servers
    assert psutil.pid_exists(services["spark"]["pid"])
    table = run(sandbox, "status").stdout
    assert "running" in table
    assert str(services["kafka"]["pid"]) in table


def test_sql_prints_what_snowflake_says(sandbox: Settings) -> None:
    statement = "select 1.10::number(10, 2) as price, null as nothing, to_timestamp_ntz('2026-01-01 00:00:01') as t"
    table = run(sandbox, "sql", statement)
    assert table.returncode == 0
    assert all(word in table.stdout for word in ("PRICE", "1.10", "NULL", "2026-01-01 00:00:01"))
    assert run(sandbox, "sql", "--csv", statement).stdout == "PRICE,NOTHING,T\n1.10,,2026-01-01 00:00:01\n"
    assert json.loads(run(sandbox, "sql", "--json", statement).stdout) == [
        {"PRICE": "1.10", "NOTHING": None, "T": "2026-01-01 00:00:01"}
    ]


def test_sql_shows_long_values_whole(sandbox: Settings) -> None:
    printed = run(sandbox, "sql", f"select '{'x' * 300}' as long, '[red]plain[/red]' as marked").stdout
    assert printed.count("x") == 300
    assert "[red]plain[/red]" in "".join(printed.split())


def test_a_failing_statement_exits_with_1_and_its_error(sandbox: Settings) -> None:
    answer = run(sandbox, "sql", "select no_such_column from (select 1)")
    assert answer.returncode == 1
    assert "no_such_column" in answer.stderr.lower()
    assert "Traceback" not in answer.stderr


@pytest.mark.sandbox
def test_sql_starts_the_emulator_and_stops_it_again(fresh_settings: Settings) -> None:
    answer = run(fresh_settings, "sql", "--csv", "select 1 as a")
    assert answer.stdout == "A\n1\n"
    assert "snowflake answers" in answer.stderr
    assert supervise.running(fresh_settings) is None


@pytest.mark.sandbox
def test_up_shows_dagster_until_ctrl_c(fresh_settings: Settings) -> None:
    settings = fresh_settings.model_copy(
        update={
            "sandbox_simulated": True,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "spark_remote": "sc://127.0.0.1:1",
        }
    )
    environment = {**os.environ, **settings.environment()}
    process = subprocess.Popen([*COMMAND, "up"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        printed = ""
        while "Ctrl-C stops everything" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        effective = supervise.running(settings)
        assert effective
        address = f"http://127.0.0.1:{effective.dagster_ui_port}"
        assert address in printed
        assert "dagster_version" in requests.get(f"{address}/server_info", timeout=30).json()
        locations = "{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError {__typename}}}}}"
        loaded = requests.post(f"{address}/graphql", json={"query": locations}, timeout=30).json()
        (location,) = loaded["data"]["workspaceOrError"]["locationEntries"]
        assert location["locationOrLoadError"] == {"__typename": "RepositoryLocation"}
        daemon = next(s.pid for s in supervise.status(settings) if s.name == "daemon")
        assert run(settings, "restart", "daemon").stdout == "daemon runs.\n"
        assert daemon != next(s.pid for s in supervise.status(settings) if s.name == "daemon")
        supervisord = Supervisord.find(settings)
        assert supervisord
        family = [supervisord.process, *supervisord.process.children(recursive=True)]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
        assert process.returncode == 0
        assert "Stopped." in rest
        assert not any(p.is_running() for p in family)
    finally:
        process.kill()
        process.wait()
        supervise.stop(settings)
