"""How a feed's assets are found in the UI: owners, tags, where their data is, and its columns."""

from typing import Any

import dagster as dg

from crypto_platform.market.bars import BARS
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.dataset import Dataset
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.trading_statuses import TRADING_STATUSES
from crypto_platform.orchestration.asset_keys import ledger_key
from crypto_platform.settings import settings
from crypto_platform.transform.project import column_descriptions, owners

_DESCRIPTIONS = {
    "alpaca": "{symbols} as Alpaca answered, {timeframe} bars, a file a day in the lake: "
    "`<lake>/{feed}/{timeframe}/<day>.jsonl.zst`.",
    "kafka": "The lake's bars on topic `{topic}`, key = symbol, value = Alpaca's own fields.",
    "raw": "Every version of every bar in `{table}`, drained from the topic; nothing is overwritten.\n\n"
    'Look: `crypto-platform sql "select * from {table} order by bar_start desc limit 10"`',
}
_ACTIONS = {
    "alpaca": "Corporate actions of {symbols} as Alpaca answered, a file a process date in the lake: "
    "`<lake>/{feed}/corporate_actions/<day>.jsonl.zst`. Those of the last 30 days are asked for again: they come late "
    "and are amended.",
    "kafka": "The lake's corporate actions on topic `{topic}`, key = symbol.",
    "raw": "Every version of every corporate action in `{table}`, drained from the topic; nothing is overwritten.\n\n"
    'Look: `crypto-platform sql "select * from {table} order by process_date desc limit 10"`',
}
_STATUSES = (
    "Every trading status of {symbols} in `{table}`, by the stream alone: Alpaca has no history of them. Of a day that "
    "was not streamed no halt is known."
)
_DOCS = "\n\nWhat its metadata and checks mean: docs/reference/dagster.md. What to do when it fails: docs/runbooks."


def described(stage: str, feed: str, spec: FeedSpec) -> dict[str, Any]:
    """The arguments of `dg.asset` that describe a stage of a feed."""
    description = _DESCRIPTIONS[stage].format(
        feed=feed,
        symbols=spec.what,
        timeframe=spec.timeframe,
        topic=BARS.topic(feed),
        table=table_name(feed),
    )
    return {
        "description": description + _DOCS,
        "owners": owners(),
        "tags": {"feed": feed, "asset_class": spec.asset_class, "stage": stage},
        "metadata": _columns(stage, feed),
    }


def described_actions(stage: str, feed: str, spec: FeedSpec) -> dict[str, Any]:
    """The same of a stage of its corporate actions."""
    description = _ACTIONS[stage].format(
        feed=feed,
        symbols=spec.what,
        topic=CORPORATE_ACTIONS.topic(feed),
        table=table_name(feed, CORPORATE_ACTIONS),
    )
    return described(stage, feed, spec) | {
        "description": description + _DOCS,
        "metadata": _columns(stage, feed, CORPORATE_ACTIONS),
    }


def trading_statuses(feed: str, spec: FeedSpec) -> dg.AssetSpec:
    """The ledger of the statuses, which no step of a run makes."""
    table = table_name(feed, TRADING_STATUSES)
    return dg.AssetSpec(
        ledger_key(feed, TRADING_STATUSES),
        description=_STATUSES.format(symbols=spec.what, table=table),
        group_name=feed,
        kinds={"snowflake"},
        owners=owners(),
        tags={"feed": feed, "asset_class": spec.asset_class},
        metadata=_columns("raw", feed, TRADING_STATUSES),
    )


def table_name(feed: str, dataset: Dataset = BARS) -> str:
    """The ledger's name in Snowflake, with its database."""
    return f"{settings().snowflake_database}.{dataset.ledger(feed)}"


def _columns(stage: str, feed: str, dataset: Dataset = BARS) -> dict[str, Any]:
    """The records' columns as Alpaca and the topic call them, or as Snowflake does, in the words of dbt's staging."""
    wire = stage != "raw"
    says = column_descriptions(f"stg_{feed}__{dataset.name}")
    columns = [
        dg.TableColumn(
            f.wire if wire else f.column,
            f.spark if wire else f.snowflake,
            description=": ".join(filter(None, (f.column if wire and f.column != f.wire else "", says.get(f.column))))
            or None,
            constraints=dg.TableColumnConstraints(nullable=not f.required),
        )
        for f in dataset.fields
    ]
    schema: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(columns)}
    return schema if wire else schema | {"dagster/table_name": table_name(feed, dataset)}
