"""Gaps that are ours: which days to ask Alpaca for again, until they are filled or known to be the vendor's.

dbt judges every gap (`MARTS.FCT_GAPS`). One is `not_ingested` while Alpaca was not asked for its day after the gap's
end. A repair runs the feed's job for just these days and symbols. Its load writes down what was asked
(`RAW.REQUESTED_PARTITIONS`), and its dbt build judges anew: the gap is closed, or `missing_at_vendor` (stocks:
`no_trade`), and not asked for again.

Days without a bar that nobody ever asked for are `never_requested`: how far to fill them is a person's decision, unless
`REPAIR_NEVER_REQUESTED` has repairs ask for them too.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from crypto_platform.connectors.lake import Lake
from crypto_platform.dagster_instance.run_days import range_tags
from crypto_platform.ingestion.universe import Universe
from crypto_platform.market.bars import Timeframe
from crypto_platform.market.day_ranges import ONE_DAY, Range, days_in, ranges
from crypto_platform.market.feed_spec import FeedSpec, feeds
from crypto_platform.orchestration.asset_keys import GAPS
from crypto_platform.orchestration.automation.never_requested import advice
from crypto_platform.orchestration.history import in_flight, materialised
from crypto_platform.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

REPAIR_TAG = "crypto_platform/repair"
# A day that still has the gap after so many runs has a reason that another run does not remove.
MOST_ATTEMPTS = 3
RUNS_A_TICK = 4
DAYS_A_RUN = 31


@dataclass(frozen=True)
class Gap:
    """Missing bars of a symbol over [start, end), UTC; `requested`: somebody asked for its days once."""

    symbol: str
    start: datetime
    end: datetime
    requested: bool = True


@dataclass(frozen=True)
class Repair:
    """One run of a feed's job: some UTC days, some symbols."""

    feed: str
    days: Range
    symbols: tuple[str, ...]

    @property
    def tags(self) -> dict[str, str]:
        return {**range_tags(self.days), REPAIR_TAG: self.feed}

    @property
    def run_config(self) -> dict[str, Any]:
        return {"resources": {"selection": {"config": {"symbols": list(self.symbols)}}}}


@dataclass(frozen=True)
class State:
    """What a tick leaves to the next.

    The build it judged by, attempts by `symbol day`, whether nothing was left to ask for, and what it said of days that
    it left alone.
    """

    build: int = 0
    attempts: Mapping[str, int] = field(default_factory=dict)
    idle: bool = False
    left_alone: str = ""

    @classmethod
    def of(cls, cursor: str | None) -> "State":
        return cls(**json.loads(cursor)) if cursor else cls()

    @property
    def cursor(self) -> str:
        return json.dumps(
            {
                "build": self.build,
                "attempts": dict(self.attempts),
                "idle": self.idle,
                "left_alone": self.left_alone,
            }
        )


@dataclass(frozen=True)
class Tick:
    """What one look asks for, and why, for a person to read."""

    repairs: list[Repair]
    why: str
    state: State


def tick(
    instance: dg.DagsterInstance,
    feed: str,
    state: State,
    gaps: Callable[[], Iterable[Gap]],
    now: datetime,
    settings: Settings,
) -> Tick:
    """Look at the feed's gaps, if dbt judged them since the last look or a repair did not get that far."""
    record = instance.fetch_materializations(GAPS, limit=1).records
    if not record:
        return Tick([], "dbt has not built MARTS.FCT_GAPS yet", state)
    newest = record[0].storage_id
    if in_flight(instance, feed, {REPAIR_TAG: feed}):
        return Tick([], "a repair is at work", state)
    all_days = settings.repair_never_requested
    if state.idle and newest == state.build and not (all_days and state.left_alone):
        said = ["dbt has judged no gaps since the last look", state.left_alone]
        return Tick([], "; ".join(filter(None, said)), state)
    spec, today, judged = feeds()[feed], now.astimezone(UTC).date(), list(gaps())
    universe = Universe(Lake(settings.lake), feed, spec)
    found, attempts, given_up = repairs(
        universe,
        [gap for gap in judged if gap.requested or all_days],
        state.attempts,
        in_flight(instance, feed),
        today,
    )
    left_alone = ""
    if not all_days:
        never = _by_symbols(universe, _wanted(universe, (gap for gap in judged if not gap.requested), today))
        left_alone = advice(settings, feed, spec, never, materialised(instance, feed))
    said = [f"{len(found)} runs" if found else "no gap to ask for"]
    if given_up:
        said.append(f"given up after {MOST_ATTEMPTS} attempts: {', '.join(sorted(given_up))}")
    if left_alone:
        said.append(left_alone)
    return Tick(found, "; ".join(said), State(newest, attempts, idle=not found, left_alone=left_alone))


def repairs(
    universe: Universe,
    gaps: Iterable[Gap],
    attempts: Mapping[str, int],
    busy: Collection[Range],
    today: date,
) -> tuple[list[Repair], dict[str, int], set[str]]:
    """The runs to ask for, the attempts with them counted, and the `symbol day`s that are given up.

    Left out: today, which is not over, days that a run works on, symbols that the feed does not have on the day.
    """
    at_work = {day for days in busy for day in days_in(days)}
    wanted = []
    still, given_up = {}, set()
    for symbol, day in _wanted(universe, gaps, today):
        name = f"{symbol} {day}"
        still[name] = attempts.get(name, 0)
        if still[name] >= MOST_ATTEMPTS:
            given_up.add(name)
        elif day not in at_work:
            wanted.append((symbol, day))
    by_symbols = _by_symbols(universe, wanted)
    found = [
        Repair(universe.feed, days, symbols) for symbols, chosen in by_symbols.items() for days in _cut(ranges(chosen))
    ]
    found = sorted(found, key=lambda repair: repair.days)[:RUNS_A_TICK]
    for repair in found:
        for day in days_in(repair.days):
            for symbol in repair.symbols:
                still[f"{symbol} {day}"] += 1
    return found, still, given_up


def gaps_of_ours(connection: "SnowflakeConnection", feed: str) -> list[Gap]:
    """The feed's gaps that nobody has asked Alpaca for since, or ever, as dbt judged last."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT symbol, gap_start, gap_end, gap_class = 'not_ingested' FROM MARTS.FCT_GAPS "
        "WHERE feed = %s AND gap_class IN ('not_ingested', 'never_requested') ORDER BY gap_start",
        (feed,),
    )
    return [Gap(*row) for row in cursor.fetchall()]


def _wanted(universe: Universe, gaps: Iterable[Gap], today: date) -> list[tuple[str, date]]:
    """The symbols and days of the gaps that are the feed's and over."""
    spec = universe.spec
    found = [(gap.symbol, day) for gap in gaps for day in _days(gap, spec) if spec.start_date <= day < today]
    members = {day: set(symbols) for day, symbols in universe.members({day for _, day in found}).items()}
    return [(symbol, day) for symbol, day in found if symbol in members[day]]


def _by_symbols(universe: Universe, wanted: Iterable[tuple[str, date]]) -> dict[tuple[str, ...], list[date]]:
    """The days by their symbols, in the feed's order."""
    by_day: dict[date, set[str]] = defaultdict(set)
    for symbol, day in wanted:
        by_day[day].add(symbol)
    found: dict[tuple[str, ...], list[date]] = defaultdict(list)
    for day, members in universe.members(by_day).items():
        found[tuple(s for s in members if s in by_day[day])].append(day)
    return found


def _days(gap: Gap, spec: FeedSpec) -> Iterable[date]:
    """The UTC days that the gap's bars begin in."""
    last = max(gap.start, gap.end - Timeframe.parse(spec.timeframe).delta)
    return days_in((gap.start.date(), last.date() + ONE_DAY))


def _cut(found: Iterable[Range]) -> Iterable[Range]:
    for first, after in found:
        while first < after:
            yield first, min(first + DAYS_A_RUN * ONE_DAY, after)
            first += DAYS_A_RUN * ONE_DAY
