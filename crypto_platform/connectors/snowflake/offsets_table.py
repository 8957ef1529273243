"""`RAW.<FEED>_OFFSETS`: how far each topic of a feed was loaded.

A table a feed: a load changes its row for as long as its transaction lasts, and Snowflake locks tables, not rows
(https://docs.snowflake.com/en/sql-reference/transactions#resource-locking), so one table of all would have the live
loads of a feed wait for another feed's backfill.
"""

SUFFIX = "_OFFSETS"


def offsets_table(feed: str) -> str:
    """The table's name with its schema."""
    return f"RAW.{feed.upper()}{SUFFIX}"


def offsets_ddl(feed: str) -> str:
    """The statement that creates it unless it is there."""
    # Snowflake does not enforce the key, the emulator does; the load counts the rows it moves either way.
    return (
        f"CREATE TABLE IF NOT EXISTS {offsets_table(feed)} (topic VARCHAR NOT NULL, topic_id VARCHAR NOT NULL, "
        "kafka_partition NUMBER(38, 0) NOT NULL, next_offset NUMBER(38, 0) NOT NULL, "
        "updated_at TIMESTAMP_NTZ NOT NULL, PRIMARY KEY (topic, kafka_partition))"
    )
