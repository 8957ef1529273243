"""dbt's models, tests and sources as Dagster's assets and checks."""

from crypto_platform.transform.dataclass_code import compile_when_used

# Before dagster-dbt imports dbt.
compile_when_used()
