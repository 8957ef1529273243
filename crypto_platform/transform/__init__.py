"""dbt in Dagster: the project's models as assets over the feeds' partitions."""
