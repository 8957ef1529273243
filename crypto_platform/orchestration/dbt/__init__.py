"""dbt's models, tests and sources as Dagster's assets and checks."""
