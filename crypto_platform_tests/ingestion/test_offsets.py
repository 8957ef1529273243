"""What a load finds of the offsets of its topic."""

import pytest

from crypto_platform.connectors.snowflake import schema
from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.connectors.snowflake.offsets_table import offsets_table
from crypto_platform.connectors.snowflake.statements import transaction
from crypto_platform.ingestion import offsets
from crypto_platform.market.bars import BARS
from crypto_platform.settings import Settings
from crypto_platform_tests import factories


@pytest.mark.sandbox
def test_a_partition_that_has_two_rows_is_told_apart_from_a_race(snowflake: Settings) -> None:
    feed = factories.feed_name()
    topic = BARS.topic(feed)
    with connect(snowflake) as connection:
        schema.ensure_schema(connection, feed)
        cursor = connection.cursor()
        # As Snowflake has it, which enforces no key.
        cursor.execute(f"CREATE OR REPLACE TABLE {offsets_table(feed)} AS SELECT * FROM {offsets_table(feed)}")
        for _ in range(2):
            cursor.execute(
                f"INSERT INTO {offsets_table(feed)} SELECT %s, 'id', 0, 5, '2026-03-01'::TIMESTAMP_NTZ", (topic,)
            )
        with pytest.raises(offsets.DoubledOffsetsError, match=r"2 rows for 1.*delete the others"), transaction(cursor):
            offsets.move(cursor, feed, topic, "id", {0: (5, 9)})
        cursor.execute(f"SELECT DISTINCT next_offset FROM {offsets_table(feed)}")
        assert cursor.fetchall() == [(5,)]
