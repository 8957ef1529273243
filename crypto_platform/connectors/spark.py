"""The Spark Connect session, opened when it is first needed."""

from typing import TYPE_CHECKING

from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession

# A server that restarts is waited for, two minutes in all and no longer than five seconds after it is back. pyspark's
# own policy waits up to a minute between attempts and ten in all.
_MAX_RETRIES = 27
_MAX_BACKOFF_MS = 5_000


def session(settings: Settings) -> "SparkSession":
    """A new session on `settings.spark_url`, in UTC; the caller stops it.

    Never one that was made before: a session does not survive a restart of its server.

    Raises:
        pyspark.errors.PySparkException: the server cannot be reached.
    """
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession

    created = SparkSession.builder.channelBuilder(_channel(settings)).create()
    created.client.set_retry_policies([DefaultPolicy(max_retries=_MAX_RETRIES, max_backoff=_MAX_BACKOFF_MS)])
    created.conf.set("spark.sql.session.timeZone", "UTC")
    return created


def version(settings: Settings) -> str:
    """The version of the server at `settings.spark_url`, asked once.

    Raises:
        pyspark.errors.PySparkException: it cannot be reached, or refuses the token.
    """
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession

    created = SparkSession.builder.channelBuilder(_channel(settings)).create()
    try:
        created.client.set_retry_policies([DefaultPolicy(max_retries=0)])
        return created.version
    finally:
        created.client.close()


def _channel(settings: Settings) -> "DefaultChannelBuilder":
    from pyspark.sql.connect.client import DefaultChannelBuilder

    builder = DefaultChannelBuilder(settings.spark_url)
    if settings.spark_connect_authenticate_token:
        builder.set(builder.PARAM_TOKEN, settings.spark_connect_authenticate_token.get_secret_value())
    return builder
