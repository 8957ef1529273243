"""The names of what the platform reads and writes, after OpenLineage's specification.

https://openlineage.io/docs/spec/naming
"""

from dataclasses import dataclass
from pathlib import Path

from crypto_platform.settings import Settings


@dataclass(frozen=True)
class DatasetName:
    """A dataset's `namespace`, the system that has it, and its `name` there."""

    namespace: str
    name: str


def lake_folder(settings: Settings, folder: str) -> DatasetName:
    """A folder of the lake, such as `crypto/1Min`: `s3://bucket` and a key's beginning, or `file` and a path."""
    scheme, _, rest = settings.lake.rpartition("://")
    if scheme in ("", "file"):
        return DatasetName("file", str(Path(rest).expanduser().absolute() / folder))
    bucket, _, path = rest.rstrip("/").partition("/")
    return DatasetName(f"{scheme}://{bucket}", f"{path}/{folder}".lstrip("/"))


def topic(settings: Settings, name: str) -> DatasetName:
    """A topic of the cluster, which its first bootstrap server stands for."""
    return DatasetName(f"kafka://{settings.kafka_servers.split(',')[0].strip()}", name)


def table(settings: Settings, schema: str, name: str) -> DatasetName:
    """A table or view in Snowflake, written as dbt's manifest has it: `MARKET.MARTS.fct_bars`."""
    return DatasetName(snowflake_namespace(settings), f"{settings.snowflake_database}.{schema.upper()}.{name}")


def snowflake_namespace(settings: Settings) -> str:
    """The account, as OpenLineage's own integrations write it; the emulator's is `snowflake://embedded`."""
    if settings.snowflake_account is None:
        return "snowflake://embedded"
    from openlineage.common.provider.snowflake import fix_account_name

    return f"snowflake://{fix_account_name(settings.snowflake_account)}"
