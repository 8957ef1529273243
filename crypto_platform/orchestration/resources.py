"""What the assets work with. Nothing is read or connected before a step asks."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_pyspark import PySparkResource
from pydantic import Field, PrivateAttr

from crypto_platform.connectors.lake import Lake
from crypto_platform.connectors.snowflake.query_tag import tag_statements
from crypto_platform.connectors.snowflake.threads import ready_for_threads
from crypto_platform.orchestration.deferred_imports import deferred
from crypto_platform.settings import Settings, settings

if TYPE_CHECKING:
    from dagster_snowflake import SnowflakeResource
    from snowflake.connector import SnowflakeConnection

    from crypto_platform.connectors.alpaca.client import AlpacaClient


class AlpacaResource(dg.ConfigurableResource):
    """Alpaca's market-data API, or the sandbox server in its place."""

    def client(self) -> "AlpacaClient":
        # 1.4 s of imports that only the extracting step needs.
        from crypto_platform.connectors.alpaca.client import AlpacaClient

        return AlpacaClient(settings())


class LakeResource(dg.ConfigurableResource):
    """The folder or bucket that keeps what Alpaca answered."""

    def open(self) -> Lake:
        return Lake(settings().lake)


class KafkaResource(dg.ConfigurableResource):
    """The Kafka cluster of the settings."""

    @property
    def settings(self) -> Settings:
        return settings()


class SparkConnectResource(PySparkResource):
    """dagster-pyspark's resource, connected at first use: a load without new messages needs no Spark."""

    spark_config: dict[str, Any] = Field(default_factory=dict)
    _spark_session: Any = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Leave connecting to `spark_session`."""

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """End the session: left open, it would look for its server again when the process ends."""
        if self._spark_session is not None:
            self._spark_session.stop()
            self._spark_session = None

    @property
    def spark_session(self) -> Any:
        if self._spark_session is None:
            from crypto_platform.connectors.spark import session

            self._spark_session = session(settings())
        return self._spark_session


class SelectionResource(dg.ConfigurableResource):
    """Some of the feed's symbols only, for a symbol added later; empty: all of them."""

    symbols: list[str] = Field(default_factory=list)


# Snowflake's API client, by the modules that dagster-snowflake takes from.
_API_CLIENT = [f"snowflake.core{part}" for part in ("", ".database", ".pipe", ".schema", ".stage", ".table", ".view")]
# What its query tags call the loads of runs, and the checks beside them.
_COMPONENT = "load"


@dg.resource(description="dagster-snowflake's resource, logged in as the settings say")
def snowflake(_context: dg.InitResourceContext) -> "SnowflakeResource":
    # Two seconds of every run, for Snowpark sessions and lists of tables alone.
    with deferred("snowflake.snowpark", *_API_CLIENT):
        from dagster_snowflake import SnowflakeResource

    from crypto_platform.connectors.snowflake.connection import check_key, connection_args

    arguments = dict(connection_args(settings(), _COMPONENT))
    if not settings().embedded_snowflake:
        check_key(settings())
    return SnowflakeResource(
        account=arguments.pop("account"),
        user=arguments.pop("user"),
        authenticator=arguments.pop("authenticator", "snowflake"),
        # Without it the resource commits on leaving, and a connection closed after an error cannot.
        autocommit=arguments.pop("autocommit"),
        additional_snowflake_connection_args=arguments,
    )


def sessions(resource: "SnowflakeResource") -> "Callable[[], AbstractContextManager[SnowflakeConnection]]":
    """Sessions that are closed in any case; the resource leaves one open when the block that uses it fails."""

    @contextmanager
    def connect() -> "Iterator[SnowflakeConnection]":
        ready_for_threads()
        with resource.get_connection() as connection, closing(connection):
            tag_statements(connection, _COMPONENT)
            yield connection

    return connect
