"""The Spark Connect session, opened when it is first needed."""

from typing import TYPE_CHECKING

from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession


def session(settings: Settings) -> "SparkSession":
    """The process's session on `settings.spark_url`, in UTC."""
    from pyspark.sql.connect.session import SparkSession

    return SparkSession.builder.remote(settings.spark_url).config("spark.sql.session.timeZone", "UTC").getOrCreate()
