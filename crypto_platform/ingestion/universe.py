"""Who belongs to a feed on which UTC day: its YAML's symbols, or its universe's members as they were recorded.

A day's members are recorded beside the lake's bars when the day is first asked for, and stay: what was delisted, or
left the universe since, remains a member of the days on which it was one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from crypto_platform.connectors.lake import Lake, LakeDayMissingError, UniverseDay
from crypto_platform.connectors.snowflake.schema import MEMBERS
from crypto_platform.connectors.snowflake.statements import insert, rows
from crypto_platform.ingestion.requested_partitions import naive
from crypto_platform.market.feed_spec import FeedSpec, check_selection
from crypto_platform.market.universe import read_universe

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from crypto_platform.connectors.alpaca.client import AlpacaClient

Members = Mapping[date, tuple[str, ...]]

_COLUMNS = {
    "feed": "VARCHAR",
    "day": "DATE",
    "symbol": "VARCHAR",
    "source": "VARCHAR",
    "observed_at": "TIMESTAMP_NTZ",
}


@dataclass(frozen=True)
class Universe:
    """The symbols of a feed by day; nothing is read before a day is asked for."""

    lake: Lake
    feed: str
    spec: FeedSpec

    def members(self, days: Iterable[date]) -> Members:
        """Each day's symbols: the recorded ones.

        A day without a record has those that the file has now; of a query, which is not asked here, those of the
        nearest day that has one.

        Raises:
            ValueError: the universe's file, where it is needed, cannot be used; of a query no day is recorded.
            LakeDayDamagedError: a record is damaged.
        """
        if self.spec.universe is None:
            return dict.fromkeys(days, self.spec.symbols)
        wanted = list(days)
        known = self._recorded(wanted)
        unknown = [day for day in wanted if day not in known]
        if unknown and self.spec.universe.file:
            now = read_universe(self.spec.universe.file, self.spec.asset_class)
            known |= {day: now.members(day) for day in unknown}
        elif unknown:
            known |= self._nearest(unknown)
        return {day: known[day] for day in wanted}

    def _nearest(self, days: Iterable[date]) -> dict[date, tuple[str, ...]]:
        if not (recorded := self.lake.universe_days(self.feed)):
            raise ValueError(
                f"the members of feed {self.feed} are not known before a run has asked Alpaca for them: "
                "materialize its newest day first, without --symbols"
            )
        nearest = {day: min(recorded, key=lambda other: abs(other - day)) for day in days}
        known = self._recorded(set(nearest.values()))
        return {day: known[other] for day, other in nearest.items()}

    def as_of(self, day: date) -> FeedSpec:
        """The feed with the day's members for its symbols.

        Raises:
            ValueError, LakeDayDamagedError: see `members` and `select`.
        """
        return self.spec.of(select(self.feed, self.members([day]), ())[day]) if self.spec.universe else self.spec

    def record(self, days: Iterable[date], client: "AlpacaClient") -> tuple[str, ...]:
        """Record the members of the days that have no record yet; returns what of the universe cannot be used, and why.

        Raises:
            ValueError: the universe's file cannot be used, or no asset answers its query; nothing is recorded.
            AlpacaError: the query got no answer; nothing is recorded.
            LakeDayDamagedError: a record is damaged.
        """
        if self.spec.universe is None:
            return ()
        wanted = list(days)
        there = self._recorded(wanted)
        if not (new := [day for day in wanted if day not in there]):
            return ()
        if self.spec.universe.file:
            now = read_universe(self.spec.universe.file, self.spec.asset_class)
            observed_at, source = datetime.now(UTC), now.path.name
            found = [UniverseDay(self.feed, day, now.members(day), source, observed_at) for day in new]
            rejected = now.rejected
        else:
            from crypto_platform.ingestion.universe_query import query_members

            answer = query_members(client, self.feed, self.spec, new)
            found, rejected = answer.days, answer.rejected
        for known in found:
            self.lake.record_universe_day(known)
        return rejected

    def _recorded(self, days: Iterable[date]) -> dict[date, tuple[str, ...]]:
        found = {}
        for day in days:
            try:
                found[day] = self.lake.universe_day(self.feed, day).symbols
            except LakeDayMissingError:
                continue
        return found


def select(feed: str, members: Members, symbols: Sequence[str]) -> Members:
    """Of each day's members those among `symbols`; all of them when none is named.

    Raises:
        ValueError: one of `symbols` is a member on none of the days, or no day has a member.
    """
    if not (known := union(members)):
        raise ValueError(f"feed {feed} has no member on {min(members)} to {max(members)}: take other days")
    chosen = set(check_selection(feed, known, symbols))
    return {day: tuple(s for s in found if s in chosen) for day, found in members.items()}


def union(members: Members) -> tuple[str, ...]:
    """The members of any of the days, in the order of the first."""
    return tuple(dict.fromkeys(symbol for found in members.values() for symbol in found))


def load_members(connection: "SnowflakeConnection", universe: Universe, days: Sequence[date]) -> None:
    """Add the days' recorded members to `RAW.UNIVERSE_MEMBERS`, all days that it lacks or none.

    Raises:
        LakeDayDamagedError: a record is damaged.
    """
    if universe.spec.universe is None:
        return
    cursor = connection.cursor()
    statement = f"SELECT DISTINCT day FROM {MEMBERS} WHERE feed = %s AND day >= %s AND day <= %s"  # noqa: S608 - ours
    there = {day for (day,) in rows(cursor, statement, (universe.feed, str(min(days)), str(max(days))))}
    insert(
        connection,
        MEMBERS,
        _COLUMNS,
        (
            (universe.feed, str(day), symbol, known.source, observed_at)
            for day in days
            if day not in there
            for known in (universe.lake.universe_day(universe.feed, day),)
            for observed_at in (naive(known.observed_at),)
            for symbol in known.symbols
        ),
    )
