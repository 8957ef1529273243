"""From exact offsets of a topic to typed, judged Parquet: the hop that Spark does."""

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import fsspec

from crypto_platform.market.dataset import (
    HEADER_OBSERVED_AT,
    HEADER_SCHEMA_VERSION,
    HEADER_SOURCE,
    SOURCES,
    Dataset,
    broken_rule,
)
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.connect.session import SparkSession

# Tasks of about a second each: enough of them to keep every core busy to the end.
_RECORDS_PER_TASK = 250_000


class StageError(RuntimeError):
    """Spark could not turn the messages into Parquet; nothing was loaded."""


@dataclass(frozen=True)
class Span:
    """Offsets of one partition, `start` inclusive, `end` exclusive."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Column:
    """One column of the staged Parquet: its name and how Spark makes it from the judged message."""

    name: str
    snowflake: str
    sql: str


def columns(dataset: Dataset) -> tuple[Column, ...]:
    """The staged columns: the record's own (NULL where the message was rejected), then where the message came from."""
    return (
        *(Column(f.column, f.snowflake, f"IF(reason IS NULL, {f.column}, NULL)") for f in dataset.fields),
        Column("source", "VARCHAR", "source"),
        Column("observed_at", "TIMESTAMP_NTZ", "observed_at"),
        Column("kafka_partition", "NUMBER(38, 0)", "kafka_partition"),
        Column("kafka_offset", "NUMBER(38, 0)", "kafka_offset"),
        Column("reason", "VARCHAR", "reason"),
        Column("raw_key", "BINARY", "IF(reason IS NULL, NULL, raw_key)"),
        Column("raw_value", "BINARY", "IF(reason IS NULL, NULL, raw_value)"),
    )


@dataclass(frozen=True)
class Staged:
    """What one Spark job committed under `path`: the Parquet files' names, and how many messages they hold."""

    path: str
    files: list[str]
    messages: int
    seconds: float


def stage_messages(
    spark: "SparkSession", settings: Settings, dataset: Dataset, topic: str, spans: dict[int, Span], path: str
) -> Staged:
    """Read exactly `spans` of `topic`, judge every message by the dataset's rules, and write `path` as Parquet.

    `path` must not exist: two attempts never share a directory, so that the leftovers of a killed job are
    never read. A message that cannot be read or breaks a rule is a row with a reason and its raw bytes.

    Raises:
        StageError: Spark failed, or offsets of the spans are gone from the topic.
    """
    from pyspark.errors import PySparkException

    started = time.monotonic()
    judged = _judged(_messages(spark, settings, topic, spans), dataset)
    try:
        staged = judged.selectExpr(*(f"{c.sql} AS {c.name}" for c in columns(dataset)))
        staged.write.mode("error").options(compression="zstd", **_without_dictionaries(dataset)).parquet(path)
    except PySparkException as error:
        raise StageError(
            f"Spark could not stage topic {topic} into {path}; nothing was loaded, load again: {error}"
        ) from error
    files = committed_files(path)
    return Staged(path, [name for name, _ in files], sum(rows for _, rows in files), time.monotonic() - started)


def _without_dictionaries(dataset: Dataset) -> dict[str, str]:
    """Parquet's options that leave out the dictionaries of numbers and times: they hardly repeat.

    To look each value up took a third of the hop's processor time, and the files are smaller by a tenth without.
    """
    repeating = {"VARCHAR", "DATE", "BINARY"}
    numbers = (c.name for c in columns(dataset) if c.snowflake not in repeating)
    return {f"parquet.enable.dictionary#{name}": "false" for name in numbers}


def committed_files(path: str) -> list[tuple[str, int]]:
    """Names and row counts of the Parquet files that a finished job left in `path`.

    Raises:
        StageError: the job did not commit.
    """
    import pyarrow.parquet as pq

    fs, root = fsspec.core.url_to_fs(path)
    names = sorted(name.rsplit("/", 1)[-1] for name in fs.ls(root, detail=False))
    if "_SUCCESS" not in names:
        raise StageError(f"the Spark job that wrote {path} did not commit")
    files = []
    for name in names:
        if name.endswith(".parquet"):
            with fs.open(f"{root}/{name}") as file:
                files.append((name, pq.ParquetFile(file).metadata.num_rows))
    return files


def _messages(spark: "SparkSession", settings: Settings, topic: str, spans: dict[int, Span]) -> "DataFrame":
    options = _kafka_options(settings) | {
        "assign": json.dumps({topic: sorted(spans)}),
        "startingOffsets": json.dumps({topic: {str(p): span.start for p, span in spans.items()}}),
        "endingOffsets": json.dumps({topic: {str(p): span.end for p, span in spans.items()}}),
        "failOnDataLoss": "true",
        "includeHeaders": "true",
        # How long offsets that the topic does not hold are waited for: two minutes, unless it is told.
        "kafkaConsumer.pollTimeoutMs": str(round(settings.kafka_request_timeout_seconds * 2_000)),
        "maxRecordsPerPartition": str(_RECORDS_PER_TASK),
        "kafka.max.poll.records": "5000",
        "kafka.max.partition.fetch.bytes": "4194304",
    }
    return spark.read.format("kafka").options(**options).load()


def _judged(messages: "DataFrame", dataset: Dataset) -> "DataFrame":
    """One row a message: the record's columns, what came with it, and the first rule it breaks."""
    record_time = "CAST(record_time AS TIMESTAMP_NTZ)"
    nonce = uuid.uuid4().hex
    fields_read = ", ".join(f"{f.wire}: {'STRING' if f.spark in _FROM_TEXT else f.spark}" for f in dataset.fields)
    fields = [f"{_FROM_TEXT.get(f.spark, str)(f'record.{f.wire}')} AS {f.column}" for f in dataset.fields]
    sources = ", ".join(f"'{source}'" for source in SOURCES)
    return (
        messages.selectExpr(
            "key AS raw_key",
            "value AS raw_value",
            "partition AS kafka_partition",
            "offset AS kafka_offset",
            "timestamp AS record_time",
            f"{_header(HEADER_SCHEMA_VERSION)} AS schema_version",
            f"{_header(HEADER_SOURCE)} AS source",
            f"{_header(HEADER_OBSERVED_AT)} AS observed_at",
            # As a field of an object: alone, from_json would drop whatever follows a record in its message, a
            # second one too. Nobody who writes to the topic knows the names of the fields.
            f"from_json(concat('{{\"record{nonce}\":', CAST(value AS STRING), ',\"end{nonce}\":1}}'), "
            f"'record{nonce} STRUCT<{fields_read}>, end{nonce} INT, corrupt STRING', "
            "map('columnNameOfCorruptRecord', 'corrupt', 'allowNonNumericNumbers', 'false')) AS parsed",
        )
        .selectExpr(
            "*", f"parsed.record{nonce} AS record", f"parsed.corrupt IS NULL AND parsed.end{nonce} = 1 AS is_whole"
        )
        .selectExpr(
            "raw_key",
            "raw_value",
            "kafka_partition",
            "kafka_offset",
            "schema_version",
            f"{record_time} AS record_time",
            f"IF(source IN ({sources}), source, NULL) AS source",
            f"coalesce({_time('observed_at')}, {record_time}) AS observed_at",
            "record IS NOT NULL AND coalesce(is_whole, false) AS readable",
            *fields,
        )
        .selectExpr("*", *dataset.derived)
        .selectExpr("*", f"{broken_rule(dataset.rules)} AS reason")
    )


def _header(name: str) -> str:
    # Three times as fast as filter() with a lambda, which Spark interprets.
    return f"CAST(get(headers.value, CAST(array_position(headers.key, '{name}') AS INT) - 1) AS STRING)"


def _time(text: str) -> str:
    """`text` in RFC 3339 and UTC, as Alpaca writes times, or NULL; a bare date, which a cast takes, is none."""
    is_whole = f"substr({text}, 11, 1) = 'T' AND length({text}) >= 20 AND endswith({text}, 'Z')"
    return f"IF({is_whole}, CAST(try_cast({text} AS TIMESTAMP) AS TIMESTAMP_NTZ), NULL)"


def _date(text: str) -> str:
    """`text` as a date in ISO 8601, or NULL; a cast would take the beginning of a time."""
    return f"IF(length({text}) = 10, try_cast({text} AS DATE), NULL)"


# Types that JSON has no form for.
_FROM_TEXT = {"TIMESTAMP_NTZ": _time, "DATE": _date}


def _kafka_options(settings: Settings) -> dict[str, str]:
    """The cluster's address and login in the words of Kafka's Java client."""
    options = {
        "kafka.bootstrap.servers": settings.kafka_servers,
        "kafka.security.protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_sasl_mechanism and settings.kafka_sasl_password:
        module = (
            "org.apache.kafka.common.security.plain.PlainLoginModule"
            if settings.kafka_sasl_mechanism == "PLAIN"
            else "org.apache.kafka.common.security.scram.ScramLoginModule"
        )
        user, password = (
            json.dumps(text)
            for text in (settings.kafka_sasl_username or "", settings.kafka_sasl_password.get_secret_value())
        )
        options["kafka.sasl.mechanism"] = settings.kafka_sasl_mechanism
        options["kafka.sasl.jaas.config"] = f"{module} required username={user} password={password};"
    if settings.kafka_ssl_ca_location:
        options["kafka.ssl.truststore.type"] = "PEM"
        options["kafka.ssl.truststore.location"] = settings.kafka_ssl_ca_location
    return options
