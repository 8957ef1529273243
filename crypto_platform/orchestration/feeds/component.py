"""One feed's assets: Alpaca's bars in the lake, on the topic, and in Snowflake's ledger."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import dagster as dg
from pydantic import BaseModel

from crypto_platform.dagster_instance.internals import add_partition_metadata
from crypto_platform.dagster_instance.time_limit import FEED_TAG
from crypto_platform.ingestion.progress import reporter
from crypto_platform.ingestion.universe import Universe, load_members, select, union
from crypto_platform.market.bars import BARS, Timeframe
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS
from crypto_platform.market.dataset import check_feed
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.market.sessions import reason_without_bars
from crypto_platform.market.symbol_history import Periods
from crypto_platform.market.trading_statuses import TRADING_STATUSES
from crypto_platform.orchestration.asset_keys import stage_key
from crypto_platform.orchestration.automation.follow import after_stages
from crypto_platform.orchestration.checks import stages
from crypto_platform.orchestration.checks.adjusted_prices import adjusted_price_reconciliation
from crypto_platform.orchestration.checks.freshness import policy, watched
from crypto_platform.orchestration.feeds import corporate_actions
from crypto_platform.orchestration.feeds.catalogue import described, trading_statuses
from crypto_platform.orchestration.feeds.job import FeedJob
from crypto_platform.orchestration.metadata import by_symbol, of_load, records
from crypto_platform.orchestration.partitions import daily, days
from crypto_platform.orchestration.resources import (
    AlpacaResource,
    KafkaResource,
    LakeResource,
    SelectionResource,
    SparkConnectResource,
    sessions,
)
from crypto_platform.settings import settings


class BarFeed(dg.Component):
    """A feed of bars; its folder's name is the feed's name, its YAML a `FeedSpec`."""

    def __init__(self, name: str, spec: FeedSpec) -> None:
        self.name = check_feed(name)
        self.spec = spec
        self.timeframe = Timeframe.parse(spec.timeframe)

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return FeedSpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "BarFeed":
        if not isinstance(attributes, FeedSpec):
            raise dg.DagsterInvalidDefinitionError(f"{context.path}: a feed needs its attributes")
        return cls(context.path.name, attributes.within(context.path))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        assets = [self._alpaca(), self._kafka(), self._raw()]
        if CORPORATE_ACTIONS in self.spec.datasets:
            assets += corporate_actions.assets(self.name, self.spec, self._shared())
        job = FeedJob(
            self.name,
            # All of dbt: its models join the feeds, so each feed's run brings them up to date. A sensor looks at
            # freshness; as steps of their own its checks would cost each run a login. Alpaca's adjusted prices are
            # asked for once a day, whatever feeds run.
            selection=(dg.AssetSelection.assets(*(asset.key for asset in assets)) | dg.AssetSelection.kind("dbt"))
            - dg.AssetSelection.checks(*(watch.key for watch in watched()))
            - dg.AssetSelection.checks(adjusted_price_reconciliation),
            description=f"The {self.name} feed from Alpaca to the marts, for the days chosen.",
            tags={FEED_TAG: self.name},
        )
        streamed = [trading_statuses(self.name, self.spec)] if TRADING_STATUSES in self.spec.datasets else []
        return dg.Definitions(assets=[*assets, *streamed], jobs=[job])

    def _key(self, stage: str) -> dg.AssetKey:
        return stage_key(self.name, stage)

    def _shared(self) -> dict[str, Any]:
        """The arguments of `dg.asset` that all of the feed's assets share."""
        return {
            "group_name": self.name,
            "partitions_def": daily(self.spec),
            "backfill_policy": dg.BackfillPolicy.single_run(),
            "freshness_policy": policy([self.spec]),
        }

    def _options(self, system: str) -> dict[str, Any]:
        return self._shared() | {
            "key": self._key(system),
            # Two runs on one topic would race for its offsets: one would win, the other fail.
            "pool": BARS.topic(self.name),
            "automation_condition": after_stages(self.name, system),
            **described(system, self.name, self.spec),
        }

    def _subject(self, context: dg.AssetExecutionContext, key: dg.AssetKey) -> stages.Subject:
        return stages.Subject(key, self.name, self.spec, days(context))

    def _periods(self) -> Periods:
        """Of the feed's tickers. Without Snowflake none: the check then warns of those that ended too."""
        from snowflake.connector.errors import Error

        from crypto_platform.connectors.snowflake.connection import connect
        from crypto_platform.connectors.snowflake.fact_checks import symbol_periods

        try:
            with connect(settings(), "checks") as connection:
                return symbol_periods(connection, self.name)
        except Error:
            return {}

    def _report_days(
        self, context: dg.AssetExecutionContext, key: dg.AssetKey, bars: dict[date, dict[str, int]]
    ) -> None:
        """Give every partition of the run its own counts, and a day without bars the reason."""
        now = datetime.now(UTC)
        found: dict[str, dict[str, Any]] = {}
        for day in days(context):
            symbols = bars.get(day, {})
            count = sum(symbols.values())
            lag = now - datetime.combine(day + timedelta(days=1), time.min, UTC)
            metadata: dict[str, Any] = {
                "bar_count": count,
                **by_symbol("bars", symbols),
                "ingestion_delay_hours": round(lag.total_seconds() / 3600, 2),
                "dagster/partition_row_count": count,
            }
            if not any(symbols.values()):
                metadata["empty_reason"] = reason_without_bars(self.spec.asset_class, day)
            found[day.isoformat()] = metadata
        add_partition_metadata(context, key, found)

    def _alpaca(self) -> dg.AssetsDefinition:
        key = self._key("alpaca")

        @dg.asset(
            **self._options("alpaca"),
            kinds={"alpaca", "python"},
            check_specs=stages.specs(key, stages.of_alpaca(self.spec)),
        )
        def bars(
            context: dg.AssetExecutionContext,
            alpaca: AlpacaResource,
            lake: LakeResource,
            selection: SelectionResource,
        ) -> dg.MaterializeResult:
            from crypto_platform.ingestion.extract import BarsRequest, extract

            asked = days(context)
            store = lake.open()
            universe = Universe(store, self.name, self.spec)
            with alpaca.client() as client:
                rejected = universe.record(asked, client)
                members = select(self.name, universe.members(asked), selection.symbols)
                request = BarsRequest(
                    feed=self.name,
                    asset_class=self.spec.asset_class,
                    symbols=union(members),
                    timeframe=self.timeframe,
                    start=asked[0],
                    end=asked[-1] + timedelta(days=1),
                    alpaca_feed=self.spec.alpaca_feed,
                    adjustment=self.spec.adjustment,
                )
                report = extract(
                    client,
                    store,
                    request,
                    context.run.run_id,
                    reporter("extract", context.log),
                    members if self.spec.universe else None,
                )
            self._report_days(context, key, report.days)
            return dg.MaterializeResult(
                metadata={
                    "days": len(asked),
                    "bars": report.bars,
                    "origin": report.origin,
                    "complete_until": report.complete_until.isoformat(),
                    "pages": report.pages,
                    "requests": report.requests,
                    "retries": report.retries,
                    "seconds": round(report.seconds, 3),
                    "throttled_seconds": round(report.seconds_throttled, 3),
                    "bars_per_second": round(report.bars_per_second),
                },
                check_results=stages.of_answer(self._subject(context, key), report, rejected, self._periods),
            )

        return bars

    def _kafka(self) -> dg.AssetsDefinition:
        key = self._key("kafka")

        @dg.asset(
            **self._options("kafka"),
            deps=[self._key("alpaca")],
            kinds={"kafka"},
            check_specs=stages.specs(key, stages.KAFKA),
        )
        def bars(
            context: dg.AssetExecutionContext,
            kafka: KafkaResource,
            lake: LakeResource,
            selection: SelectionResource,
        ) -> dg.MaterializeResult:
            from crypto_platform.connectors.kafka.producer import publish

            published = days(context)
            store = lake.open()
            members = select(self.name, Universe(store, self.name, self.spec).members(published), selection.symbols)
            read = 0
            tell = reporter("publish", context.log)

            def lake_days() -> Iterator[Any]:
                nonlocal read
                for done, day in enumerate(published):
                    stored = store.read_day(self.name, self.timeframe.name, day)
                    chosen = {s: stored.sections[s] for s in members[day] if s in stored.sections}
                    tell(done, len(published), read)
                    read += sum(len(section.lines) for section in chosen.values())
                    yield replace(stored, sections=chosen)
                tell(len(published), len(published), read)

            report = publish(kafka.settings, self.name, lake_days(), context.run.run_id)
            self._report_days(context, key, report.by_day)
            return dg.MaterializeResult(
                metadata={
                    "days": len(published),
                    "messages": report.messages,
                    "offsets": {str(p): f"{first}..{last}" for p, (first, last) in report.offsets.items()},
                    "seconds": round(report.seconds, 3),
                    "bars_per_second": round(report.messages / report.seconds) if report.seconds else 0,
                },
                check_results=stages.of_publication(self._subject(context, key), report, read),
            )

        return bars

    def _raw(self) -> dg.AssetsDefinition:
        key = self._key("raw")

        @dg.asset(
            **self._options("raw"),
            deps=[self._key("kafka")],
            kinds={"spark", "snowflake"},
            check_specs=stages.specs(key, stages.RAW),
        )
        def bars(
            context: dg.AssetExecutionContext,
            kafka: KafkaResource,
            lake: LakeResource,
            pyspark: SparkConnectResource,
            snowflake: dg.ResourceParam[Any],
        ) -> dg.MaterializeResult:
            from crypto_platform.connectors.snowflake.schema import ensure_schema
            from crypto_platform.ingestion import topic_load
            from crypto_platform.ingestion.requested_partitions import record, requested_partitions

            connect = sessions(snowflake)
            with connect() as connection:
                # The models join all feeds, also those that were never loaded.
                for feed, spec in feeds().items():
                    ensure_schema(connection, feed, *spec.datasets)
            report = topic_load.load(
                kafka.settings,
                self.name,
                context.run.run_id,
                connect,
                spark=lambda: pyspark.spark_session,
                progress=reporter("load", context.log, "hops"),
            )
            with connect() as connection:
                proof = stages.of_load(self._subject(context, key), connection, lake.open(), report)
                answered = requested_partitions(lake.open(), self.name, self.timeframe, days(context), proof.held)
                record(connection, self.name, self.timeframe.name, answered, context.run.run_id)
                load_members(connection, Universe(lake.open(), self.name, self.spec), days(context))
            self._report_days(context, key, proof.held)
            return dg.MaterializeResult(
                metadata={
                    **of_load(report),
                    "sample_bars": records(proof.sample),
                    "dagster/row_count": proof.rows,
                },
                check_results=proof.results,
            )

        return bars
