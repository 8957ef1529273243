"""How a session finds its server: the address, TLS and the token."""

import pytest
from pydantic import SecretStr
from pyspark.sql.connect.client import DefaultChannelBuilder

from crypto_platform.connectors import spark
from crypto_platform.settings import Settings

URL = "sc://spark.example.com:443/;use_ssl=true"


def test_the_token_is_sent_and_no_part_of_what_is_shown(fresh_settings: Settings) -> None:
    settings = fresh_settings.model_copy(
        update={"spark_remote": URL, "spark_connect_authenticate_token": SecretStr("s3cret")}
    )
    builder = spark._channel(settings)
    assert isinstance(builder, DefaultChannelBuilder)
    assert (builder.endpoint, builder.use_ssl, builder.token) == ("spark.example.com:443", True, "s3cret")
    assert "s3cret" not in settings.spark_url + repr(settings) + str(dict(builder.metadata()))


def test_without_a_token_there_is_none(fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_CONNECT_AUTHENTICATE_TOKEN", raising=False)
    builder = spark._channel(fresh_settings.model_copy(update={"spark_remote": "sc://127.0.0.1:15002"}))
    assert (builder.secure, builder.token) == (False, None)
