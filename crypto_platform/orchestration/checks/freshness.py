"""Freshness in Dagster: a policy on every asset for the UI, and a check a feed of what its tables hold.

A policy knows when an asset was materialised last, whatever day that was; the checks know which day must be there and
which bars must be in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import dagster as dg
import orjson

from crypto_platform.connectors.lake import Lake, LakeDayDamagedError
from crypto_platform.connectors.snowflake import ledger_checks
from crypto_platform.connectors.snowflake.fact_checks import halted_at, symbol_periods
from crypto_platform.ingestion.universe import Universe
from crypto_platform.market import freshness
from crypto_platform.market.bars import BARS, Timeframe
from crypto_platform.market.data_source import moves_on
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.market.symbol_history import Periods
from crypto_platform.orchestration.asset_keys import FACTS, stage_key
from crypto_platform.orchestration.metadata import NAMED
from crypto_platform.settings import settings

# From a session to the next: over a weekend with a holiday before or after it.
LONGEST_CLOSURE = timedelta(days=4)
NOT_JUDGED = (
    "Not judged: the bars are recordings, which end some day. With SANDBOX_SIMULATED or APCA_API_DATA_URL set they are "
    "judged by the clock."
)


def policy(specs: Iterable[FeedSpec]) -> dg.FreshnessPolicy:
    """The policy of an asset that is materialised whenever one of these feeds runs.

    With crypto among them that is every day, by a deadline; stocks rest on weekends and holidays, which no cron knows.
    """
    minutes = {s.asset_class: int(s.vendor_delay.total_seconds() // 60) + s.max_run_minutes for s in specs}
    if "crypto" in minutes:
        deadline = minutes["crypto"]
        return dg.FreshnessPolicy.cron(
            deadline_cron=f"{deadline % 60} {deadline // 60} * * *", lower_bound_delta=timedelta(minutes=deadline)
        )
    return dg.FreshnessPolicy.time_window(
        fail_window=LONGEST_CLOSURE + timedelta(minutes=minutes["us_equity"]),
    )


@dataclass(frozen=True)
class Watched:
    """A feed's table that must be up to date: the asset that makes it, and the check's name there."""

    feed: str
    asset: dg.AssetKey
    check: str

    @property
    def key(self) -> dg.AssetCheckKey:
        return dg.AssetCheckKey(self.asset, self.check)

    def newest_bars(self, connection: Any, spec: FeedSpec, day: date) -> dict[str, datetime]:
        """The newest bar_start, UTC, by symbol, up to the end of the day: newer bars, by stream, say nothing of it."""
        timeframe, days = Timeframe.parse(spec.timeframe), (day - freshness.LOOK_BACK, day + freshness.ONE_DAY)
        if self.asset == FACTS:
            return ledger_checks.newest_facts(connection, self.feed, timeframe, *days)
        return ledger_checks.newest_bars(connection, BARS.ledger(self.feed), timeframe, *days)


def watched() -> list[Watched]:
    """Each feed's ledger and its part of the facts."""
    ledgers = [Watched(feed, stage_key(feed, "raw"), "is_fresh") for feed in feeds()]
    return ledgers + [Watched(feed, FACTS, f"{feed}_is_fresh") for feed in feeds()]


def asset_checks() -> list[dg.AssetChecksDefinition]:
    """The checks as the UI lists and executes them."""
    return [_asset_check(watch) for watch in watched()]


def _asset_check(watch: Watched) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=watch.asset,
        name=watch.check,
        description=f"The newest day of {watch.feed} that is due is materialised, and its bars reach the end of "
        "trading. A closed exchange is not late, a feed without any day is. Recordings are not judged.",
    )
    def is_fresh(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        (found,) = judge(context.instance, [watch], datetime.now(UTC)).values()
        return dg.AssetCheckResult(
            passed=found.passed,
            severity=found.severity,
            description=found.description,
            metadata=found.metadata,
        )

    return is_fresh


def judge(
    instance: dg.DagsterInstance, watches: Sequence[Watched], at: datetime
) -> dict[Watched, dg.AssetCheckEvaluation]:
    """Each watched table's evaluation at `at`. A Snowflake that cannot be asked fails those that need it.

    Raises:
        ValueError: the exchange's calendar does not reach to `at`.
    """
    if not moves_on(settings()):
        return {w: _evaluation(w, True, NOT_JUDGED, {"judged": False}) for w in watches}
    specs = feeds()
    wanted = {w: freshness.expected(specs[w.feed], at) for w in watches}
    there = {w: bool(e and _is_materialised(instance, w.asset, e.day)) for w, e in wanted.items()}
    tables, problem = _tables({w: e for w, e in wanted.items() if e and there[w]})
    found = {}
    for watch, expectation in wanted.items():
        spec, why_not = specs[watch.feed], problem if there[watch] else None
        if there[watch] and expectation and not why_not:
            try:
                spec = Universe(Lake(settings().lake), watch.feed, spec).as_of(expectation.day)
            except (ValueError, LakeDayDamagedError) as error:
                why_not = str(error)
        if why_not:
            found[watch] = _evaluation(
                watch, False, f"cannot be judged: {why_not}", {"judged": False}, dg.AssetCheckSeverity.WARN
            )
            continue
        newest = None
        if expectation and not there[watch]:
            # Of the facts, which all feeds share, another feed's day may be the newest.
            days = [_newest_day(instance, asset) for asset in {watch.asset, stage_key(watch.feed, "raw")}]
            newest = min((day for day in days if day), default=None)
        held = tables.get(watch, _Held({}, {}, {}))
        verdict = freshness.judge(
            watch.feed, spec, at, newest, there[watch], held.newest_bars, held.periods, held.halted
        )
        found[watch] = _of_verdict(watch, verdict)
    return found


def _of_verdict(watch: Watched, verdict: freshness.Verdict) -> dg.AssetCheckEvaluation:
    metadata: dict[str, Any] = {"judged": True, "feed": watch.feed, "state": verdict.state}
    if wanted := verdict.expectation:
        metadata |= {
            "expected_day": wanted.day.isoformat(),
            "expected_bars_until": dg.MetadataValue.timestamp(wanted.bar_start),
            "due_since": dg.MetadataValue.timestamp(wanted.due),
        }
    if verdict.late:
        named = islice(verdict.late.items(), NAMED)
        metadata["newest bar"] = {s: b.isoformat() if b else "none" for s, b in named}
    if verdict.remediation:
        metadata["remediation"] = verdict.remediation
    severity = dg.AssetCheckSeverity.ERROR if verdict.state == "late" else dg.AssetCheckSeverity.WARN
    return _evaluation(watch, verdict.state == "fresh", verdict.says, metadata, severity)


def _evaluation(
    watch: Watched,
    passed: bool,
    says: str,
    metadata: Mapping[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=watch.asset,
        check_name=watch.check,
        passed=passed,
        metadata=metadata,
        severity=severity,
        description=says,
        blocking=False,
    )


def _is_materialised(instance: dg.DagsterInstance, asset: dg.AssetKey, day: date) -> bool:
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[day.isoformat()])
    return bool(instance.fetch_materializations(wanted, limit=1).records)


def _newest_day(instance: dg.DagsterInstance, asset: dg.AssetKey) -> date | None:
    days = instance.get_materialized_partitions(asset)
    return date.fromisoformat(max(days)) if days else None


@dataclass(frozen=True)
class _Held:
    """What Snowflake knows of a table's symbols: newest bars, when their tickers were in use, and who was halted."""

    newest_bars: Mapping[str, datetime]
    periods: Periods
    halted: Mapping[str, datetime]


def _tables(wanted: Mapping[Watched, freshness.Expectation]) -> tuple[dict[Watched, _Held], str | None]:
    """What is known of each table whose day is there; or why not."""
    if not wanted:
        return {}, None
    from snowflake.connector.errors import Error

    from crypto_platform.connectors.snowflake.connection import connect

    try:
        with connect(settings(), "checks") as connection:
            found = {
                watch: _Held(
                    watch.newest_bars(connection, feeds()[watch.feed], expectation.day),
                    symbol_periods(connection, watch.feed),
                    halted_at(connection, watch.feed, expectation.bar_start),
                )
                for watch, expectation in wanted.items()
            }
            return found, None
    except Error as error:
        return {}, f"Snowflake does not answer: {' '.join(str(error.msg or error).split())[:200]}"


def tick(instance: dg.DagsterInstance, cursor: str | None, at: datetime) -> dg.SensorResult:
    """Judge the tables about which something changed since the `cursor`: what is expected, or what was materialised.

    Where nothing did it costs one query of Dagster's storage.
    """
    known: dict[str, str] = {}
    with suppress(ValueError):
        known = orjson.loads(cursor or "{}")
    grounds = _grounds(instance, at)
    changed = [w for w, ground in grounds.items() if known.get(w.key.to_user_string()) != ground]
    events = []
    for watch, evaluation in judge(instance, changed, at).items():
        name, ground = watch.key.to_user_string(), grounds[watch]
        if not evaluation.passed and not evaluation.metadata["judged"].value:
            # Asked again at the next tick, told once.
            ground += ", not judged"
        if known.get(name) != ground:
            events.append(evaluation)
        known[name] = ground
    said = None if events else "nothing changed"
    return dg.SensorResult(asset_events=events, cursor=orjson.dumps(known).decode(), skip_reason=said)


def _grounds(instance: dg.DagsterInstance, at: datetime) -> dict[Watched, str]:
    """What a table's verdict depends on, but for the table itself."""
    judged = moves_on(settings())
    records = instance.get_asset_records(sorted({w.asset for w in watched()})) if judged else ()
    last = {r.asset_entry.asset_key: r.asset_entry.last_materialization_storage_id for r in records}
    grounds = {}
    for watch in watched():
        wanted = freshness.expected(feeds()[watch.feed], at) if judged else None
        grounds[watch] = f"{wanted.day if wanted else judged} {last.get(watch.asset)}"
    return grounds
