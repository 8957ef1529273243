from dataclasses import replace
from pathlib import Path

import pytest

from crypto_platform.settings import Settings
from rehearsal.clusters import in_force, own_environment
from rehearsal.environment import EXAMPLE, environment, lines

# Read by boto and gRPC themselves.
OTHERS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "AWS_SECRET_ACCESS_KEY",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
}


def test_each_variable_is_a_setting_or_another_program_s() -> None:
    assert {name for name in environment(EXAMPLE) if name.lower() not in Settings.model_fields} == OTHERS


def test_the_settings_are_what_the_environment_says(tmp_path: Path) -> None:
    to = replace(EXAMPLE, kafka_password="of-kafka", kafka_servers="one:1,two:2")
    with in_force(own_environment(Settings(), tmp_path) | environment(to)) as settings:
        assert settings.kafka_servers == "one:1,two:2"
        assert settings.kafka_sasl_password and settings.kafka_sasl_password.get_secret_value() == "of-kafka"
        assert settings.kafka_replication_factor == 3
        assert settings.spark_url == EXAMPLE.spark_remote
        assert (settings.lake, settings.stage) == (EXAMPLE.lake, EXAMPLE.stage)
        assert settings.crypto_platform_home == tmp_path


def test_nothing_of_the_outer_environment_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "elsewhere:9092")
    with in_force(own_environment(Settings(), tmp_path)) as settings:
        assert settings.kafka_bootstrap_servers is None
    assert Settings().kafka_bootstrap_servers == "elsewhere:9092"


def test_the_lines_are_the_environment() -> None:
    given = dict(line.split("=", 1) for line in lines(EXAMPLE) if not line.startswith("#"))
    assert given == environment(EXAMPLE)
