"""Stock and crypto bars from Alpaca through Kafka, Spark and Snowflake to dbt, orchestrated by Dagster."""
