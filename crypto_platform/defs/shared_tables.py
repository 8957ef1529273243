"""The raw tables that all feeds write to."""

import dagster as dg

from crypto_platform.orchestration.dbt.shared import shared_tables
from crypto_platform.transform.project import manifest


@dg.definitions
def tables() -> dg.Definitions:
    return dg.Definitions(assets=shared_tables(manifest()))
