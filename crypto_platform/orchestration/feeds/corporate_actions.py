"""The corporate actions of a stock feed: Alpaca's answers in the lake, on the topic, and in Snowflake's ledger."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from crypto_platform.dagster_instance.internals import add_partition_metadata
from crypto_platform.ingestion.progress import reporter
from crypto_platform.ingestion.universe import Universe, select, union
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.orchestration.asset_keys import action_key
from crypto_platform.orchestration.automation.follow import after_stages
from crypto_platform.orchestration.checks import stages
from crypto_platform.orchestration.feeds.catalogue import described_actions
from crypto_platform.orchestration.metadata import by_symbol, of_load
from crypto_platform.orchestration.partitions import days
from crypto_platform.orchestration.resources import (
    AlpacaResource,
    KafkaResource,
    LakeResource,
    SelectionResource,
    SparkConnectResource,
    sessions,
)


def assets(feed: str, spec: FeedSpec, shared: dict[str, Any]) -> list[dg.AssetsDefinition]:
    """The three assets; `shared` are the arguments of `dg.asset` that all of a feed's assets have."""
    return [_alpaca(feed, spec, shared), _kafka(feed, spec, shared), _raw(feed, spec, shared)]


def _options(stage: str, feed: str, spec: FeedSpec, shared: dict[str, Any]) -> dict[str, Any]:
    return shared | {
        "key": action_key(feed, stage),
        # As for the bars: two runs on one topic would race for its offsets.
        "pool": CORPORATE_ACTIONS.topic(feed),
        "automation_condition": after_stages(feed, stage, action_key),
        # Before the bars', whose checks look across splits; not Alpaca's: a universe's members are asked for with bars.
        "op_tags": {} if stage == "alpaca" else {"dagster/priority": "1"},
        **described_actions(stage, feed, spec),
    }


def _tracked(context: dg.AssetExecutionContext, spec: FeedSpec) -> list[date]:
    """The process dates that the run asks for."""
    from crypto_platform.ingestion.corporate_actions import days_to_ask

    return days_to_ask(days(context), spec.start_date, datetime.now(UTC).date())


def _subject(feed: str, spec: FeedSpec, key: dg.AssetKey, asked: list[date]) -> stages.Subject:
    return stages.Subject(key, feed, spec, asked, CORPORATE_ACTIONS)


def _report_days(context: dg.AssetExecutionContext, key: dg.AssetKey, actions: dict[date, dict[str, int]]) -> None:
    """Give every partition of the run its own counts."""
    by_day = {day: {symbol: count for symbol, count in actions.get(day, {}).items() if count} for day in days(context)}
    found = {
        day.isoformat(): {
            "action_count": sum(symbols.values()),
            **by_symbol("actions", symbols),
            "dagster/partition_row_count": sum(symbols.values()),
        }
        for day, symbols in by_day.items()
    }
    add_partition_metadata(context, key, found)


def _alpaca(feed: str, spec: FeedSpec, shared: dict[str, Any]) -> dg.AssetsDefinition:
    key = action_key(feed, "alpaca")

    @dg.asset(**_options("alpaca", feed, spec, shared), kinds={"alpaca", "python"})
    def actions(
        context: dg.AssetExecutionContext, alpaca: AlpacaResource, lake: LakeResource, selection: SelectionResource
    ) -> dg.MaterializeResult:
        from crypto_platform.ingestion.corporate_actions import extract_actions

        tracked = _tracked(context, spec)
        store = lake.open()
        symbols = union(select(feed, Universe(store, feed, spec).members(tracked), selection.symbols))
        with alpaca.client() as client:
            report = extract_actions(client, store, feed, symbols, tracked, context.run.run_id)
        _report_days(context, key, report.days)
        return dg.MaterializeResult(
            metadata={
                "asked": f"{tracked[0]} to {tracked[-1]}",
                "days": len(days(context)),
                "actions": report.actions,
                "origin": report.origin,
                "pages": report.pages,
                "requests": report.requests,
                "retries": report.retries,
                "seconds": round(report.seconds, 3),
            }
        )

    return actions


def _kafka(feed: str, spec: FeedSpec, shared: dict[str, Any]) -> dg.AssetsDefinition:
    key = action_key(feed, "kafka")

    @dg.asset(
        **_options("kafka", feed, spec, shared),
        deps=[action_key(feed, "alpaca")],
        kinds={"kafka"},
        check_specs=stages.specs(key, stages.KAFKA),
    )
    def actions(
        context: dg.AssetExecutionContext, kafka: KafkaResource, lake: LakeResource, selection: SelectionResource
    ) -> dg.MaterializeResult:
        from crypto_platform.connectors.kafka.producer import publish

        store = lake.open()
        tracked = _tracked(context, spec)
        symbols = set(union(select(feed, Universe(store, feed, spec).members(tracked), selection.symbols)))
        # A lake from before there were actions has days of bars alone.
        there = set(store.days(feed, CORPORATE_ACTIONS.name))
        read = 0

        def lake_days() -> Iterator[Any]:
            nonlocal read
            for day in (day for day in tracked if day in there):
                stored = store.read_day(feed, CORPORATE_ACTIONS.name, day)
                chosen = {s: section for s, section in stored.sections.items() if s in symbols or not selection.symbols}
                read += sum(len(section.lines) for section in chosen.values())
                yield replace(stored, sections=chosen)

        report = publish(kafka.settings, feed, lake_days(), context.run.run_id, dataset=CORPORATE_ACTIONS)
        _report_days(context, key, report.by_day)
        return dg.MaterializeResult(
            metadata={
                "days": len(days(context)),
                "days_not_in_lake": sum(day not in there for day in days(context)),
                "messages": report.messages,
                "offsets": {str(p): f"{first}..{last}" for p, (first, last) in report.offsets.items()},
                "seconds": round(report.seconds, 3),
            },
            check_results=stages.of_publication(_subject(feed, spec, key, tracked), report, read),
        )

    return actions


def _raw(feed: str, spec: FeedSpec, shared: dict[str, Any]) -> dg.AssetsDefinition:
    key = action_key(feed, "raw")

    @dg.asset(
        **_options("raw", feed, spec, shared),
        deps=[action_key(feed, "kafka")],
        kinds={"spark", "snowflake"},
        check_specs=stages.specs(key, stages.ACTIONS),
    )
    def actions(
        context: dg.AssetExecutionContext,
        kafka: KafkaResource,
        lake: LakeResource,
        pyspark: SparkConnectResource,
        snowflake: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from crypto_platform.ingestion import topic_load
        from crypto_platform.ingestion.requested_partitions import record, requested_actions

        connect = sessions(snowflake)
        report = topic_load.load(
            kafka.settings,
            feed,
            context.run.run_id,
            connect,
            spark=lambda: pyspark.spark_session,
            progress=reporter("load actions", context.log, "hops"),
            dataset=CORPORATE_ACTIONS,
        )
        tracked = _tracked(context, spec)
        with connect() as connection:
            proof = stages.of_actions(_subject(feed, spec, key, tracked), connection, lake.open(), report)
            answered = requested_actions(lake.open(), feed, tracked)
            record(connection, feed, CORPORATE_ACTIONS.name, answered, context.run.run_id)
        _report_days(context, key, proof.held)
        return dg.MaterializeResult(metadata=of_load(report), check_results=proof.results)

    return actions
