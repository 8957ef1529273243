"""The checks of a feed's stages, one after the other.

Blocking is what would spread a mistake: a stage that does not add up is not passed on. What a vendor may have meant, or
a person has to judge, is told and passed on. Of a run over many days Dagster records a check once, without a partition:
the days are in its metadata.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg

from crypto_platform.connectors.lake import Lake, LakeDayMissingError
from crypto_platform.connectors.snowflake import ledger_checks
from crypto_platform.market.bars import BARS, Timeframe
from crypto_platform.market.completeness import shortfalls
from crypto_platform.market.data_source import again
from crypto_platform.market.dataset import Dataset
from crypto_platform.market.feed_spec import FeedSpec
from crypto_platform.market.outliers import LOOK_BACK, DayFigures, Outlier, Splits, odd_volumes, price_jumps
from crypto_platform.market.symbol_history import Periods, is_in_use
from crypto_platform.orchestration.metadata import records, table

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from crypto_platform.connectors.kafka.producer import PublishReport
    from crypto_platform.ingestion.extract import ExtractReport
    from crypto_platform.ingestion.topic_load import LoadReport

ONE_DAY = timedelta(days=1)
# Outliers whose bars are looked up, and rows that a table of metadata has at most.
LOOKED_UP, LISTED = 5, 100


@dataclass(frozen=True)
class Check:
    """What a check proves; `blocking`: the next stage waits until it does."""

    name: str
    proves: str
    blocking: bool = True


SCHEMA_CONTRACT = Check(
    "schema_contract",
    "Alpaca's bars have the agreed fields in the agreed types. New and odd ones are reported; a required field that "
    "most bars lack stops the run.",
)
DAY_COMPLETENESS = Check(
    "day_completeness",
    "Alpaca gave a bar for each step of a crypto day, and some bars of each stock for each session.",
    blocking=False,
)
PUBLISH_RECONCILIATION = Check(
    "publish_reconciliation", "The brokers confirmed as many messages as the lake's files of these days hold."
)
LOAD_RECONCILIATION = Check("load_reconciliation", "Messages drained = loaded + unchanged + rejected.")
LEDGER_COMPLETENESS = Check(
    "ledger_completeness", "Whatever these days' lake files hold is in the ledger, but for the rejected."
)
ROW_COUNT_RECONCILIATION = Check(
    "row_count_reconciliation",
    "The ledger has as many versions as its loads put there (RAW.LOADS), less what republishing gave up.",
)
UNIQUE_OFFSETS = Check("unique_offsets", "No (topic, partition, offset) is in the ledger twice.")
TIMEFRAME_ALIGNMENT = Check("timeframe_alignment", "Every bar of these days starts on its timeframe's grid.")
NO_REJECTED_MESSAGES = Check("no_rejected_messages", "The load rejected none of its messages.", blocking=False)
OHLC_CONSISTENCY = Check(
    "ohlc_consistency",
    "Open, close and vwap of these days' bars lie between low and high, also of those from before the load's rules.",
    blocking=False,
)
PRICE_OUTLIERS = Check(
    "price_outliers",
    "Each day's prices are where the day before and its own middle let expect them, by the moves of up to 30 days.",
    blocking=False,
)
VOLUME_OUTLIERS = Check(
    "volume_outliers", "Each day's volume is of the size that up to 30 days before it let expect.", blocking=False
)

UNIVERSE_MEMBERS = Check(
    "universe_members", "Every line of the universe can be used, and Alpaca knows every member.", blocking=False
)

ALPACA = (SCHEMA_CONTRACT, DAY_COMPLETENESS)
ACTIONS = (
    LOAD_RECONCILIATION,
    LEDGER_COMPLETENESS,
    ROW_COUNT_RECONCILIATION,
    UNIQUE_OFFSETS,
    NO_REJECTED_MESSAGES,
)
KAFKA = (PUBLISH_RECONCILIATION,)
RAW = (
    LOAD_RECONCILIATION,
    LEDGER_COMPLETENESS,
    ROW_COUNT_RECONCILIATION,
    UNIQUE_OFFSETS,
    TIMEFRAME_ALIGNMENT,
    NO_REJECTED_MESSAGES,
    OHLC_CONSISTENCY,
    PRICE_OUTLIERS,
    VOLUME_OUTLIERS,
)


def of_alpaca(spec: FeedSpec) -> tuple[Check, ...]:
    """The checks of a feed's answers."""
    return (*ALPACA, UNIVERSE_MEMBERS) if spec.universe else ALPACA


def specs(key: dg.AssetKey, checks: Sequence[Check]) -> list[dg.AssetCheckSpec]:
    """The specifications of an asset's checks."""
    return [dg.AssetCheckSpec(c.name, asset=key, blocking=c.blocking, description=c.proves) for c in checks]


@dataclass(frozen=True)
class Subject:
    """What a run's checks are about: an asset of a feed, and the run's days."""

    key: dg.AssetKey
    feed: str
    spec: FeedSpec
    days: Sequence[date]
    dataset: Dataset = BARS

    @property
    def ledger(self) -> str:
        """The table that its records are in."""
        return self.dataset.ledger(self.feed)

    @property
    def timeframe(self) -> Timeframe:
        return Timeframe.parse(self.spec.timeframe)

    def again(self, days: Sequence[date] | None = None) -> str:
        """The command that takes these days, or all of the run's, through the stages again."""
        chosen = days or self.days
        return again(self.feed, min(chosen), max(chosen) + ONE_DAY) if chosen else ""

    def result(
        self,
        check: Check,
        passed: bool,
        says: str,
        remediation: str = "",
        metadata: Mapping[str, Any] | None = None,
        severity: dg.AssetCheckSeverity | None = None,
    ) -> dg.AssetCheckResult:
        """A check's result; one that does not block is a warning. Metadata that is None is left out."""
        named = {name: value for name, value in (metadata or {}).items() if value is not None}
        if self.days:
            named["days"] = f"{min(self.days)} to {max(self.days)}"
        if not passed and remediation:
            named["remediation"] = remediation
        return dg.AssetCheckResult(
            asset_key=self.key,
            check_name=check.name,
            passed=passed,
            severity=severity or (dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN),
            description=says,
            metadata=named,
        )


def of_answer(
    subject: Subject,
    report: "ExtractReport",
    rejected: Sequence[str] = (),
    periods: Callable[[], Periods] = dict,
) -> list[dg.AssetCheckResult]:
    """Compare what Alpaca answered with the bar's fields and the calendar; `rejected`: the universe's bad lines.

    `periods` is asked for where bars lack: a ticker that is not in use any more has none.
    """
    drift = report.drift
    stops = f"; most bars lack {', '.join(drift.gone)}" if drift.gone else ""
    if short := shortfalls(subject.spec, report.days, report.complete_until):
        known = periods()
        short = [s for s in short if is_in_use(known, s.symbol, s.day)]
    missing = sum(s.expected - s.actual for s in short)
    where = ", ".join(f"{s.symbol} on {s.day} ({s.actual:,} of {s.expected:,})" for s in short[:3])
    return [
        subject.result(
            SCHEMA_CONTRACT,
            not drift,
            f"{drift.says()}{stops}" if drift else "all fields are as agreed",
            "compare Alpaca's documentation with crypto_platform/market/bars.py; bars without a required field are "
            "rejected",
            {
                "new_fields": drift.unknown,
                "missing_fields": drift.missing,
                "mistyped_fields": drift.mistyped,
            },
            dg.AssetCheckSeverity.ERROR if drift.gone else dg.AssetCheckSeverity.WARN,
        ),
        subject.result(
            DAY_COMPLETENESS,
            not short,
            f"{missing:,} bars fewer than the calendar expects: {where}{' …' if len(short) > 3 else ''}"
            if short
            else "as many bars as the calendar expects",
            # The first and last at once: what was there is not entered twice.
            subject.again([s.day for s in short]),
            {"missing_bars": missing, "incomplete_days": records([vars(s) for s in short[:LISTED]]) if short else None},
        ),
        *([_universe(subject, report.unknown, rejected)] if subject.spec.universe else []),
    ]


def _universe(subject: Subject, unknown: Sequence[str], rejected: Sequence[str]) -> dg.AssetCheckResult:
    says = [f"Alpaca does not know {', '.join(unknown[:LISTED])}"] if unknown else []
    if rejected:
        says.append(f"{len(rejected):,} lines are left out: {'; '.join(rejected[:3])}")
    return subject.result(
        UNIVERSE_MEMBERS,
        not says,
        "; ".join(says) or "no line was left out, and Alpaca knows every member",
        f"correct {subject.spec.what}; the others are loaded",
        {"unknown_symbols": len(unknown), "rejected_lines": len(rejected)},
    )


def of_publication(subject: Subject, report: "PublishReport", read: int) -> list[dg.AssetCheckResult]:
    """Compare what the brokers confirmed with what the lake's files held."""
    return [
        subject.result(
            PUBLISH_RECONCILIATION,
            report.messages == read,
            f"{report.messages:,} of {read:,} messages are confirmed",
            subject.again(),
            {
                "lake_records": read,
                "acknowledged_messages": report.messages,
            },
        )
    ]


@dataclass(frozen=True)
class LoadProof:
    """The results of a load's checks, and what the ledger holds.

    Of the run's days: `held`, bars by day and symbol, and `sample`, some of the newest; `rows` in all.
    """

    results: list[dg.AssetCheckResult]
    held: dict[date, dict[str, int]]
    sample: list[dict[str, Any]]
    rows: int


def of_load(subject: Subject, connection: "SnowflakeConnection", lake: Lake, report: "LoadReport") -> LoadProof:
    """Check a load against the ledger and the lake, and its bars against the days before."""
    figures: dict[tuple[date, str], DayFigures] = {}
    splits: Splits = {}
    if subject.days:
        start, end = min(subject.days) - LOOK_BACK, max(subject.days) + ONE_DAY
        figures = ledger_checks.figures_by_day(connection, subject.feed, subject.timeframe, start, end)
        if subject.spec.splits_are_in_prices:
            splits = ledger_checks.splits(connection, subject.feed, start, end)
    days = set(subject.days)
    of_days = {key: found for key, found in figures.items() if key[0] in days}
    held: dict[date, dict[str, int]] = {}
    for (day, symbol), found in sorted(of_days.items()):
        held.setdefault(day, {})[symbol] = found.bars
    balance = ledger_checks.balance(connection, subject.feed)
    results = [
        *_accounts(subject, connection, report, _missing(subject, lake, held)),
        _kept(subject, balance),
        *_plausibility(subject, connection, figures, splits, of_days),
    ]
    newest = max(held, default=None)
    sample = ledger_checks.newest_of_day(connection, subject.feed, subject.timeframe, newest) if newest else []
    return LoadProof(results, held, sample, balance.held)


@dataclass(frozen=True)
class ActionsProof:
    """The results of a load of corporate actions, and how many the ledger holds by process date and symbol."""

    results: list[dg.AssetCheckResult]
    held: dict[date, dict[str, int]]


def of_actions(subject: Subject, connection: "SnowflakeConnection", lake: Lake, report: "LoadReport") -> ActionsProof:
    """Check a load of corporate actions against the ledger and the lake."""
    held: dict[date, dict[str, int]] = {}
    if subject.days:
        start, end = min(subject.days), max(subject.days) + ONE_DAY
        held = ledger_checks.actions_by_day(connection, subject.feed, start, end)
    balance = ledger_checks.balance(connection, subject.feed, subject.dataset)
    missing = _missing(subject, lake, held)
    return ActionsProof([*_accounts(subject, connection, report, missing), _kept(subject, balance)], held)


def _accounts(
    subject: Subject, connection: "SnowflakeConnection", report: "LoadReport", missing: Mapping[str, int]
) -> list[dg.AssetCheckResult]:
    """Whether nothing was lost or doubled between topic, lake and ledger."""
    repeated = 0
    if report.load_id:
        repeated = ledger_checks.repeated_messages(connection, subject.feed, report.load_id, subject.dataset)
    accounted = report.loaded + report.unchanged + report.rejected
    lacking = sum(missing.values())
    what = subject.dataset.name.replace("_", " ")
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in report.rejected_by_reason.items())
    return [
        subject.result(
            LOAD_RECONCILIATION,
            report.messages == accounted,
            f"{report.messages:,} messages = {report.loaded:,} loaded + {report.unchanged:,} unchanged + "
            f"{report.rejected:,} rejected"
            if report.messages == accounted
            else f"{report.messages - accounted:,} of {report.messages:,} messages are nowhere",
            f"crypto-platform republish --feed {subject.feed}",
            {
                "messages": report.messages,
                "loaded": report.loaded,
                "unchanged": report.unchanged,
                "rejected": report.rejected,
            },
        ),
        subject.result(
            LEDGER_COMPLETENESS,
            lacking <= report.rejected,
            f"{lacking:,} {what} of the lake are not in the ledger, {report.rejected:,} were rejected"
            if lacking
            else f"all {what} of the lake are in the ledger",
            subject.again(),
            {
                "missing": lacking,
                "rejected": report.rejected,
                "missing_by_day": table(_first(missing), "day and symbol", what) if missing else None,
            },
        ),
        subject.result(
            UNIQUE_OFFSETS,
            repeated == 0,
            f"{repeated:,} messages are in the ledger more than once" if repeated else "no message is in twice",
            _rows_of_load(subject.ledger, report),
            {"repeated": repeated},
        ),
        subject.result(
            NO_REJECTED_MESSAGES,
            report.rejected == 0,
            f"{report.rejected:,} messages were rejected: {reasons}" if report.rejected else "no message was rejected",
            _rows_of_load(subject.dataset.rejects, report),
            {"rejected": report.rejected, "rejected_by_reason": report.rejected_by_reason},
        ),
    ]


def _rows_of_load(name: str, report: "LoadReport") -> str:
    return f"crypto-platform sql \"select * from market.{name.lower()} where load_id = '{report.load_id}'\""  # noqa: S608 - shown


def _kept(subject: Subject, balance: ledger_checks.Balance) -> dg.AssetCheckResult:
    """Whether what was loaded is still there, also of other days than the run's."""
    ledger = subject.ledger
    return subject.result(
        ROW_COUNT_RECONCILIATION,
        not balance.lacking,
        f"{ledger} holds {balance.held:,} versions where its loads put {balance.loaded:,}: {balance.lacking:,} are "
        "gone, deleted or dropped with the table. While Snowflake's Time Travel has them, bring them back first "
        "(UNDROP TABLE); republishing loads what the lake holds"
        if balance.lacking
        else "everything that was loaded is in the ledger",
        f"crypto-platform republish --feed {subject.feed}",
        {"versions": balance.held, "loaded": balance.loaded, "gone": balance.lacking},
    )


def _plausibility(
    subject: Subject,
    connection: "SnowflakeConnection",
    figures: Mapping[tuple[date, str], DayFigures],
    splits: Splits,
    of_days: Mapping[tuple[date, str], DayFigures],
) -> list[dg.AssetCheckResult]:
    """Whether the bars of the run's days are what bars can be, and what the days before let expect."""
    off_grid = {f"{day} {symbol}": f.off_grid for (day, symbol), f in of_days.items() if f.off_grid}
    broken = {key: f.broken for key, f in of_days.items() if f.broken}
    broken_bars = [
        bar
        for day, symbol in list(broken)[:LOOKED_UP]
        for bar in ledger_checks.broken_bars(connection, subject.feed, subject.timeframe, day, symbol)
    ]
    jumps = price_jumps(figures, subject.days, splits)
    jumping = [
        bar
        for s in [s for s in jumps if s.prices][:LOOKED_UP]
        if s.prices
        for bar in ledger_checks.bars_outside(connection, subject.feed, subject.timeframe, s.day, s.symbol, s.prices)
    ]
    volumes = odd_volumes(figures, subject.days, splits)
    return [
        subject.result(
            TIMEFRAME_ALIGNMENT,
            not off_grid,
            f"{sum(off_grid.values()):,} versions start off the grid" if off_grid else "all bars are on the grid",
            subject.again(),
            {
                "misaligned_bars": sum(off_grid.values()),
                "misaligned_by_day": table(_first(off_grid), "day and symbol", "versions") if off_grid else None,
            },
        ),
        subject.result(
            OHLC_CONSISTENCY,
            not broken,
            f"{sum(broken.values()):,} bars have an open, close or vwap outside of low and high, first on "
            f"{' for '.join(map(str, min(broken)))}"
            if broken
            else "all prices hold together",
            subject.again([day for day, _ in broken]),
            {"bars": sum(broken.values()), "failing_bars": records(broken_bars) if broken_bars else None},
        ),
        _suspects(subject, PRICE_OUTLIERS, jumps, "no price is out of place", jumping),
        _suspects(subject, VOLUME_OUTLIERS, volumes, "no volume is out of the ordinary", []),
    ]


def _suspects(
    subject: Subject, check: Check, outliers: Sequence[Outlier], well: str, bars: Sequence[Mapping[str, Any]]
) -> dg.AssetCheckResult:
    says = [f"{s.symbol} on {s.day}: {s.says}" for s in outliers]
    more = f" (and {len(says) - 3} more)" if len(says) > 3 else ""
    listed = [{"day": s.day, "symbol": s.symbol, "what": s.says} for s in outliers[:LISTED]]
    return subject.result(
        check,
        not outliers,
        "; ".join(says[:3]) + more if outliers else well,
        # Alpaca may have corrected it; if not, it is for a person to judge.
        subject.again([s.day for s in outliers]) if outliers else "",
        {
            "failing_rows": len(outliers),
            "which": records(listed) if outliers else None,
            "outlier_bars": records(bars) if bars else None,
        },
    )


def _first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(islice(counts.items(), LISTED))


def _missing(subject: Subject, lake: Lake, held: Mapping[date, Mapping[str, int]]) -> dict[str, int]:
    """What the ledger lacks of the lake, by day and symbol."""
    missing = {}
    folder = subject.timeframe.name if subject.dataset is BARS else subject.dataset.name
    for day in subject.days:
        try:
            counts = lake.counts(subject.feed, folder, day)
        except LakeDayMissingError:
            # Loaded from the topic alone: there is nothing to compare with.
            continue
        for symbol, bars in counts.items():
            if (lacking := bars - held.get(day, {}).get(symbol, 0)) > 0:
                missing[f"{day} {symbol}"] = lacking
    return missing
