"""Gaps that are ours: which days to ask Alpaca for again, until they are filled or known to be the vendor's.

dbt judges every gap (`MARTS.FCT_GAPS`). One is `missed_by_us` while Alpaca was not asked for its day after the gap's
end. A repair runs the feed's job for just these days and symbols. Its load writes down what was asked
(`RAW.ASKED_DAYS`), and its dbt build judges anew: the gap is closed, or `missing_at_vendor` (stocks: `no_trade`), and
not asked for again.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from crypto_platform.feeds.spec import FeedSpec, feeds
from crypto_platform.operate.history import in_flight, range_tags
from crypto_platform.operate.ranges import ONE_DAY, Range, days_in, ranges

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

REPAIR_TAG = "crypto_platform/repair"
GAPS = dg.AssetKey(["marts", "fct_gaps"])
# A day that still has the gap after so many runs has a reason that another run does not mend.
MOST_ATTEMPTS = 3
RUNS_A_TICK = 4
DAYS_A_RUN = 31


@dataclass(frozen=True)
class Gap:
    """Missing bars of a symbol over [start, end), UTC."""

    symbol: str
    start: datetime
    end: datetime


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
    """What a tick leaves to the next: the build it judged by, attempts by `symbol day`, whether nothing was left."""

    build: int = 0
    attempts: Mapping[str, int] = field(default_factory=dict)
    idle: bool = False

    @classmethod
    def of(cls, cursor: str | None) -> "State":
        return cls(**json.loads(cursor)) if cursor else cls()

    @property
    def cursor(self) -> str:
        return json.dumps({"build": self.build, "attempts": dict(self.attempts), "idle": self.idle})


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
) -> Tick:
    """Look at the feed's gaps, if dbt judged them since the last look or a repair did not get that far."""
    record = instance.fetch_materializations(GAPS, limit=1).records
    if not record:
        return Tick([], "dbt has not built MARTS.FCT_GAPS yet", state)
    newest = record[0].storage_id
    if in_flight(instance, feed, {REPAIR_TAG: feed}):
        return Tick([], "a repair is at work", state)
    if state.idle and newest == state.build:
        return Tick([], "dbt has judged no gaps since the last look", state)
    found, attempts, given_up = repairs(
        feed, feeds()[feed], gaps(), state.attempts, in_flight(instance, feed), now.astimezone(UTC).date()
    )
    said = [f"{len(found)} runs" if found else "no gap to ask for"]
    if given_up:
        said.append(f"given up after {MOST_ATTEMPTS} attempts: {', '.join(sorted(given_up))}")
    return Tick(found, "; ".join(said), State(newest, attempts, idle=not found))


def repairs(
    feed: str,
    spec: FeedSpec,
    gaps: Iterable[Gap],
    attempts: Mapping[str, int],
    busy: Collection[Range],
    today: date,
) -> tuple[list[Repair], dict[str, int], set[str]]:
    """The runs to ask for, the attempts with them counted, and the `symbol day`s that are given up.

    Left out: today, which is not over, days that a run works on, symbols that the feed has no more.
    """
    at_work = {day for days in busy for day in days_in(days)}
    wanted: dict[date, set[str]] = defaultdict(set)
    still, given_up = {}, set()
    for gap in gaps:
        for day in _days(gap):
            name = f"{gap.symbol} {day}"
            if gap.symbol not in spec.symbols or not spec.start_date <= day < today:
                continue
            still[name] = attempts.get(name, 0)
            if still[name] >= MOST_ATTEMPTS:
                given_up.add(name)
            elif day not in at_work:
                wanted[day].add(gap.symbol)
    by_symbols: dict[tuple[str, ...], list[date]] = defaultdict(list)
    for day, symbols in wanted.items():
        by_symbols[tuple(s for s in spec.symbols if s in symbols)].append(day)
    found = [Repair(feed, days, symbols) for symbols, chosen in by_symbols.items() for days in _cut(ranges(chosen))]
    found = sorted(found, key=lambda repair: repair.days)[:RUNS_A_TICK]
    for repair in found:
        for day in days_in(repair.days):
            for symbol in repair.symbols:
                still[f"{symbol} {day}"] += 1
    return found, still, given_up


def missed_by_us(connection: "SnowflakeConnection", feed: str) -> list[Gap]:
    """The feed's gaps that nobody has asked Alpaca for since, as dbt judged last."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT symbol, gap_start, gap_end FROM MARTS.FCT_GAPS "
        "WHERE feed = %s AND gap_class = 'missed_by_us' ORDER BY gap_start",
        (feed,),
    )
    return [Gap(symbol, start, end) for symbol, start, end in cursor.fetchall()]


def _days(gap: Gap) -> Iterable[date]:
    """The UTC days that the gap lies in."""
    last = gap.end.date() if gap.end.time() > datetime.min.time() else gap.end.date() - ONE_DAY
    return days_in((gap.start.date(), last + ONE_DAY))


def _cut(found: Iterable[Range]) -> Iterable[Range]:
    for first, after in found:
        while first < after:
            yield first, min(first + DAYS_A_RUN * ONE_DAY, after)
            first += DAYS_A_RUN * ONE_DAY
