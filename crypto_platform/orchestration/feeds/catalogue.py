"""How a feed's assets are found in the UI: owners, tags, where their data is, and its columns."""

from typing import Any

import dagster as dg

from crypto_platform.connectors.snowflake.schema import bars_table
from crypto_platform.market.bars import FIELDS, topic
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.settings import settings
from crypto_platform.transform.project import owners

_DESCRIPTIONS = {
    "alpaca": "{symbols} as Alpaca answered, {timeframe} bars, a file a day in the lake: "
    "`<lake>/{feed}/{timeframe}/<day>.jsonl.zst`.",
    "kafka": "The lake's bars on topic `{topic}`, key = symbol, value = Alpaca's own fields.",
    "raw": "Every version of every bar in `{table}`, drained from the topic; nothing is overwritten.\n\n"
    'Look: `crypto-platform sql "select * from {table} order by bar_start desc limit 10"`',
}
_DOCS = "\n\nWhat its metadata and checks mean: docs/reference/dagster.md. What to do when it fails: docs/runbooks."


def described(stage: str, feed: str, spec: FeedSpec) -> dict[str, Any]:
    """The arguments of `dg.asset` that describe a stage of a feed."""
    description = _DESCRIPTIONS[stage].format(
        feed=feed,
        symbols=", ".join(spec.symbols),
        timeframe=spec.timeframe,
        topic=topic(feed),
        table=table_name(feed),
    )
    return {
        "description": description + _DOCS,
        "owners": owners(),
        "tags": {"feed": feed, "asset_class": spec.asset_class, "stage": stage},
        "metadata": _columns(stage, feed),
    }


def table_name(feed: str) -> str:
    """The ledger's name in Snowflake, with its database."""
    return f"{settings().snowflake_database}.{bars_table(feed)}"


def _columns(stage: str, feed: str) -> dict[str, Any]:
    """The bar's columns as Alpaca and the topic call them, or as Snowflake does."""
    wire = stage != "raw"
    columns = [
        dg.TableColumn(
            f.wire if wire else f.column,
            f.spark if wire else f.snowflake,
            description=f.column if wire else None,
            constraints=dg.TableColumnConstraints(nullable=not f.required),
        )
        for f in FIELDS
    ]
    schema: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(columns)}
    return schema if wire else schema | {"dagster/table_name": table_name(feed)}
