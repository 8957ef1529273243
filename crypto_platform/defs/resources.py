"""What every asset works with, by name, and how runs execute."""

import dagster as dg

from crypto_platform.orchestration.dbt.cli import cli
from crypto_platform.orchestration.lineage import executor
from crypto_platform.orchestration.resources import (
    AlpacaResource,
    KafkaResource,
    LakeResource,
    SelectionResource,
    SparkConnectResource,
    snowflake,
)


@dg.definitions
def resources() -> dg.Definitions:
    return dg.Definitions(
        resources={
            "alpaca": AlpacaResource(),
            "dbt": cli(),
            "kafka": KafkaResource(),
            "lake": LakeResource(),
            "pyspark": SparkConnectResource(),
            "selection": SelectionResource.configure_at_launch(),
            "snowflake": snowflake,
        },
        # A process a step would pay the imports of every step again.
        executor=executor(),
    )
