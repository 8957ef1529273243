"""The Spark Connect session, opened when it is first needed."""

from typing import TYPE_CHECKING

from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

# 0.05 s, then four times as long each time up to a minute: a server that restarts is waited for, about three
# minutes in all. pyspark's own 15 attempts keep a run that has lost its server hanging for ten.
_MAX_RETRIES = 8


def session(settings: Settings) -> "SparkSession":
    """A new session on `settings.spark_url`, in UTC; the caller stops it.

    Never one that was made before: a session does not survive a restart of its server.

    Raises:
        pyspark.errors.PySparkException: the server cannot be reached.
    """
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession

    created = SparkSession.builder.remote(settings.spark_url).create()
    created.client.set_retry_policies([DefaultPolicy(max_retries=_MAX_RETRIES)])
    created.conf.set("spark.sql.session.timeZone", "UTC")
    return created
