"""What the feeds and dbt are in Dagster: assets, checks, partitions, resources, automation."""
