"""`MarketData`: what the marts know of bars, symbols, corporate actions, sessions and gaps, as Arrow tables."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self, get_args

import pyarrow as pa

from crypto_platform.research.bars_query import (
    Adjustment,
    Period,
    bars_query,
    check_adjustment,
    check_columns,
    partitions_query,
    query,
)
from crypto_platform.research.catalog import Catalog, Listing, Source
from crypto_platform.research.errors import UnknownNameError
from crypto_platform.research.moments import Moment, bound, known_at, utc_range
from crypto_platform.research.warehouse import TIMESTAMP, Warehouse, schema
from crypto_platform.settings import Settings
from crypto_platform.settings import settings as settings_of_this_process

Symbols = str | Sequence[str]

_DATE, _FLOAT, _INTEGER, _TEXT = pa.date32(), pa.float64(), pa.int64(), pa.string()
BAR_COLUMNS: dict[str, pa.DataType] = {
    "symbol": _TEXT,
    "bar_start": TIMESTAMP,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), _FLOAT),
    "trade_count": _INTEGER,
    "vwap": _FLOAT,
    # By name alone.
    "feed": _TEXT,
    "timeframe": _TEXT,
    "bar_date": _DATE,
    "split_factor": _FLOAT,
    "dividend_factor": _FLOAT,
    "loaded_at": TIMESTAMP,
}
USUAL_BAR_COLUMNS = tuple(BAR_COLUMNS)[:9]
ACTION_COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(("feed", "action_id", "action_type", "symbol", "new_symbol"), _TEXT),
    **dict.fromkeys(("process_date", "ex_date", "record_date", "payable_date"), _DATE),
    **dict.fromkeys(("old_rate", "new_rate", "rate"), _FLOAT),
    **dict.fromkeys(("is_special", "is_foreign"), pa.bool_()),
    **dict.fromkeys(("status", "reason"), _TEXT),
    **dict.fromkeys(("split_factor", "dividend_factor"), _FLOAT),
    "previous_bar_date": _DATE,
    "previous_close": _FLOAT,
    **dict.fromkeys(("first_known_at", "known_at"), TIMESTAMP),
    "versions": _INTEGER,
}
SYMBOL_COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(("feed", "asset_class", "symbol", "calendar", "timeframe"), _TEXT),
    **dict.fromkeys(("first_bar_date", "last_bar_date"), _DATE),
    "security_id": _TEXT,
    "is_active": pa.bool_(),
}
HISTORY_COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(("feed", "security_id", "symbol"), _TEXT),
    **dict.fromkeys(("valid_from", "valid_to"), _DATE),
    **dict.fromkeys(("predecessor_symbol", "successor_symbol", "end_reason"), _TEXT),
    **dict.fromkeys(("first_bar_date", "last_bar_date"), _DATE),
}
VERSION_COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(("feed", "symbol", "timeframe"), _TEXT),
    "bar_start": TIMESTAMP,
    "version_number": _INTEGER,
    **dict.fromkeys(("observed_at", "superseded_at"), TIMESTAMP),
    "source": _TEXT,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), _FLOAT),
    "trade_count": _INTEGER,
    "vwap": _FLOAT,
}
PARTITION_COLUMNS: dict[str, pa.DataType] = {"symbol": _TEXT, "period": _INTEGER, "bars": _INTEGER, "version": _TEXT}
MEMBER_COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(("feed", "symbol"), _TEXT),
    "is_recorded": pa.bool_(),
    "source": _TEXT,
}
SESSION_COLUMNS: dict[str, pa.DataType] = {
    "calendar": _TEXT,
    "session_date": _DATE,
    **dict.fromkeys(("opens_at", "closes_at"), TIMESTAMP),
    "is_early_close": pa.bool_(),
}
GAP_COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(("feed", "symbol"), _TEXT),
    **dict.fromkeys(("gap_start", "gap_end"), TIMESTAMP),
    "missing_bars": _INTEGER,
    "gap_class": _TEXT,
}
# One value, however many symbols.
_AMONG = "symbol in (select asked.value::varchar from table(flatten(input => parse_json(%(symbols)s))) as asked)"
GAP_CLASSES = ("market_closed", "halted", "no_trade", "missing_at_vendor", "not_ingested", "never_requested")


class MarketData:
    """The marts, for reading: ``with MarketData() as market: market.bars("AAPL", "2020-01-01", "2021-01-01")``.

    It sends SELECTs of the schema MARTS alone, so the role READER suffices, to the emulator or to Snowflake, as the
    settings say. Ranges are half-open, [start, end), in UTC; a date stands for its midnight. Results are
    `pyarrow.Table`s: `.to_pandas()`, `polars.from_arrow(…)`. Without `as_of` they are what the last dbt build made;
    those of several calls may be of several builds.

    It connects with the first question, and again after `close()`.

    Raises, all of them `ReadError`s that say what to do:
        RangeError: a datetime without a zone, an end before its start, an `as_of` to come.
        UnknownNameError: no such symbol, timeframe, feed, column; says what there is and what comes near.
        AmbiguousFeedError: several feeds have it.
        WarehouseError: nothing answers, or it refuses.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._warehouse = Warehouse(settings or settings_of_this_process())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self._warehouse.close()

    def bars(
        self,
        symbols: Symbols | None,
        start: Moment,
        end: Moment,
        timeframe: str = "1Day",
        adjustment: Adjustment = "raw",
        as_of: datetime | str | None = None,
        columns: Sequence[str] | None = None,
        feed: str | None = None,
        sort: bool = True,
    ) -> pa.Table:
        """The bars that begin in [start, end).

        Columns, without `columns`: `symbol`; `bar_start`, timestamp[us, UTC]; `open`, `high`, `low`, `close`, in the
        quote currency; `volume`, in shares or in the base currency; `trade_count`, int64, and `vwap`, NULL where the
        vendor gives none. Further ones: `feed`, `timeframe`, `bar_date` (the day in the market's calendar),
        `split_factor`, `dividend_factor`, `loaded_at`. A day's `bar_start` is its market's midnight, of a stock 04:00
        or 05:00 UTC; a stock's day has the prices of regular hours.

        Args:
            symbols: as Alpaca writes them, "BTC/USD" or ["AAPL", "NVDA"]; None for all of `feed`.
            timeframe: a feed's own, or 5Min, 15Min, 1Hour, 1Day, made of it.
            adjustment: raw; split, by splits and stock dividends, volume too; all, prices by cash dividends as well,
                whose changes are a holder's total return. Back from the newest day that is known, whose factor is 1.
            as_of: a moment; bars, corrections and corporate actions as they were known then, by when Alpaca had
                answered with them. Before the platform first asked nothing was known. Which security a ticker was is as
                known now.
            feed: whose bars; without it, the feed that has the symbol in this range, and of several the one whose own
                timeframe it is. A CoverageWarning says where another feed reaches further.
            sort: by symbol and time; without it they come as they are stored, sooner.
        """
        return self._bars(symbols, start, end, timeframe, adjustment, as_of, columns, feed, sort).read_all()

    def bar_batches(
        self,
        symbols: Symbols | None,
        start: Moment,
        end: Moment,
        timeframe: str = "1Day",
        adjustment: Adjustment = "raw",
        as_of: datetime | str | None = None,
        columns: Sequence[str] | None = None,
        feed: str | None = None,
        sort: bool = True,
    ) -> pa.RecordBatchReader:
        """The same as `bars`, a batch at a time, for what does not fit into memory; a few batches are fetched ahead."""
        return self._bars(symbols, start, end, timeframe, adjustment, as_of, columns, feed, sort)

    def bar_partitions(
        self,
        symbols: Symbols | None,
        start: Moment,
        end: Moment,
        timeframe: str = "1Day",
        adjustment: Adjustment = "raw",
        as_of: datetime | str | None = None,
        feed: str | None = None,
        by: Period = "month",
    ) -> pa.Table:
        """What `bars` has of each symbol and period: `symbol`, `period`, `bars`, and a `version` that changes with it.

        For who keeps copies: while a partition's version and bars stay, its bars are the same.

        Args:
            by: month, YYYYMM, and year, YYYY, of a bar's start in UTC; session, YYYYMMDD of its market's day; all, 0.
        """
        if by not in get_args(Period):
            raise UnknownNameError(f"there is no period {by!r}: choose from {', '.join(get_args(Period))}")
        first, after = utc_range(start, end)
        moment = known_at(as_of)
        chosen = check_adjustment(adjustment)
        sources = self._catalog().sources(symbols, timeframe, feed, first, after)
        statement, values, texts = partitions_query(sources, by, first, after, chosen, moment)
        kinds = schema(list(PARTITION_COLUMNS), PARTITION_COLUMNS)
        return self._warehouse.read(statement, values, kinds, {"symbol": texts}).read_all()

    def _bars(
        self,
        symbols: Symbols | None,
        start: Moment,
        end: Moment,
        timeframe: str,
        adjustment: str,
        as_of: datetime | str | None,
        columns: Sequence[str] | None,
        feed: str | None,
        sort: bool,
    ) -> pa.RecordBatchReader:
        first, after = utc_range(start, end)
        moment = known_at(as_of)
        names = check_columns(columns, tuple(BAR_COLUMNS), USUAL_BAR_COLUMNS)
        chosen = check_adjustment(adjustment)
        sources = self._catalog().sources(symbols, timeframe, feed, first, after)
        statement, values, texts = bars_query(sources, names, first, after, chosen, moment, sort)
        return self._warehouse.read(statement, values, schema(names, BAR_COLUMNS), {"symbol": texts})

    def versions(self, symbols: Symbols, start: Moment, end: Moment, feed: str | None = None) -> pa.Table:
        """Every version of the base bars that begin in [start, end), raw: what `as_of` chooses from.

        `observed_at` is when Alpaca answered with it, `superseded_at` when with the next one, NULL of the newest;
        `source` is rest, stream or stream_update.
        """
        first, after = utc_range(start, end)
        listings = self._catalog().of(feed, symbols)
        values: dict[str, Any] = {
            "feeds": sorted({listing.feed for listing in listings}),
            "symbols": json.dumps(sorted({listing.symbol for listing in listings})),
            "first": bound(first),
            "after": bound(after),
        }
        conditions = ["feed in (%(feeds)s)", _AMONG, "bar_start >= %(first)s", "bar_start < %(after)s"]
        order = "feed, symbol, bar_start, version_number"
        return self._table("MARTS.fct_bar_versions", VERSION_COLUMNS, conditions, values, order)

    def sources(
        self, symbols: Symbols | None, start: Moment, end: Moment, timeframe: str = "1Day", feed: str | None = None
    ) -> list[Source]:
        """Where `bars` reads these: a source a feed, with its symbols."""
        return self._catalog().sources(symbols, timeframe, feed, *utc_range(start, end))

    def symbol_history(self, symbols: Symbols | None = None, feed: str | None = None) -> pa.Table:
        """When the symbols, and other tickers of the same securities, were in use: [valid_from, valid_to).

        `valid_from` is NULL since ever, `valid_to` while it is; `first_bar_date` and `last_bar_date` are of that time.
        """
        listings = self._catalog().of(feed, symbols)
        values = {
            "feeds": sorted({listing.feed for listing in listings}),
            "symbols": json.dumps(sorted({listing.symbol for listing in listings})),
        }
        own = f"select feed, security_id from MARTS.dim_symbol_history where {_AMONG}"
        conditions = ["feed in (%(feeds)s)", f"(feed, security_id) in ({own})"]
        order = "feed, security_id, coalesce(valid_from, '0001-01-01')"
        return self._table("MARTS.dim_symbol_history", HISTORY_COLUMNS, conditions, values, order)

    def symbols(self, feed: str | None = None) -> pa.Table:
        """Every symbol of the feeds, or of one: asset class, calendar, base timeframe, days with bars and security."""
        self._catalog().of(feed, None)
        condition, values = ("feed = %(feed)s", {"feed": feed}) if feed else ("true", {})
        return self._table("MARTS.dim_symbols", SYMBOL_COLUMNS, [condition], values, "feed, symbol")

    def universe(self, day: date | str, feed: str | None = None) -> pa.Table:
        """The symbols that each feed, or one, had on a UTC day: no symbol is left out for having ended since.

        Of a feed with a universe its recorded members; of another, and of days that were not recorded, `is_recorded` is
        false and it is the symbols that had begun by then and not yet ended.
        """
        asked, _ = utc_range(day, day)
        catalog = self._catalog()
        catalog.of(feed, None)
        feeds = [feed] if feed else catalog.feeds
        statement = """
            with recorded as (
                select feed, symbol, true as is_recorded, source
                from MARTS.dim_universe_members
                where valid_from <= %(day)s and valid_to > %(day)s
            )
            select feed, symbol, is_recorded, source from recorded where feed in (%(feeds)s)
            union all
            select feed, symbol, false as is_recorded, null as source
            from MARTS.dim_symbols
            where
                feed in (%(feeds)s) and feed not in (select feed from recorded)
                and first_bar_date <= %(day)s and last_bar_date >= %(day)s
            order by feed, symbol
        """
        values = {"day": str(asked.date()), "feeds": feeds}
        return self._warehouse.read(statement, values, schema(list(MEMBER_COLUMNS), MEMBER_COLUMNS)).read_all()

    def actions(
        self,
        symbols: Symbols | None = None,
        start: Moment = date.min,
        end: Moment = date.max,
        as_of: datetime | str | None = None,
        feed: str | None = None,
    ) -> pa.Table:
        """Corporate actions whose ex-date is in [start, end), by UTC day, with what is done of each and why not.

        Where Alpaca gives no ex-date it is the day by which Alpaca files the action. `status` and `reason` are those of
        the mart fct_corporate_actions; `split_factor` and `dividend_factor` what prices before it are multiplied by,
        `previous_bar_date` and `previous_close` (raw) the last day of those;
        `first_known_at` and `known_at` when Alpaca first answered with it, and answered so.

        Args:
            as_of: a moment; the actions as they were known then, judged by the bars known then.
        """
        first, after = utc_range(start, end)
        moment = known_at(as_of)
        listings = [one for one in self._catalog().of(feed, symbols) if one.asset_class != "crypto"]
        days = "coalesce(ex_date, process_date) >= %(first)s and coalesce(ex_date, process_date) < %(after)s"
        common = {"first": str(first.date()), "after": str(after.date())}
        tables = []
        for name in sorted({listing.feed for listing in listings}):
            own = [listing for listing in listings if listing.feed == name]
            values = {"feed": name, "symbols": json.dumps([one.symbol for one in own]), **common}
            relation = "MARTS.fct_corporate_actions"
            if moment:
                relation = f"(\n{query('actions_as_of')}\n) as known"
                values |= {"calendar": own[0].calendar, "known_at": bound(moment)}
            conditions = ["feed = %(feed)s", _AMONG, days]
            tables.append(self._table(relation, ACTION_COLUMNS, conditions, values, "ex_date, symbol, action_id"))
        return pa.concat_tables(tables) if tables else schema(list(ACTION_COLUMNS), ACTION_COLUMNS).empty_table()

    def sessions(self, start: Moment, end: Moment, calendar: str = "XNYS") -> pa.Table:
        """The sessions of the days [start, end): when regular hours open and close, UTC. Crypto's calendar is 24/7."""
        first, after = utc_range(start, end)
        days = self._warehouse.read(
            "select distinct calendar from MARTS.dim_sessions", {}, schema(["calendar"], SESSION_COLUMNS)
        )
        if calendar not in (known := sorted(days.read_all()["calendar"].to_pylist())):
            raise UnknownNameError(f"there is no calendar {calendar!r}: choose from {', '.join(known)}")
        values = {"calendar": calendar, "first": str(first.date()), "after": str(after.date())}
        conditions = ["calendar = %(calendar)s", "is_open", "session_date >= %(first)s", "session_date < %(after)s"]
        return self._table("MARTS.dim_sessions", SESSION_COLUMNS, conditions, values, "session_date")

    def gaps(
        self,
        symbols: Symbols | None,
        start: Moment,
        end: Moment,
        classes: Sequence[str] | None = None,
        feed: str | None = None,
    ) -> pa.Table:
        """Runs of missing base bars, [gap_start, gap_end), that reach into [start, end), and why they are missing.

        Args:
            classes: of `gap_class`, those asked for; without it all but market_closed.
        """
        first, after = utc_range(start, end)
        asked = check_columns(classes, GAP_CLASSES, GAP_CLASSES[1:])
        listings = self._catalog().of(feed, symbols)
        values: dict[str, Any] = {
            "feeds": sorted({listing.feed for listing in listings}),
            "symbols": json.dumps(sorted({listing.symbol for listing in listings})),
            "classes": asked,
            "first": bound(first),
            "after": bound(after),
        }
        conditions = ["feed in (%(feeds)s)", "gap_class in (%(classes)s)"]
        conditions += [_AMONG, "gap_start < %(after)s", "gap_end > %(first)s"]
        return self._table("MARTS.fct_gaps", GAP_COLUMNS, conditions, values, "feed, symbol, gap_start")

    def _catalog(self) -> Catalog:
        kinds = {name: SYMBOL_COLUMNS[name] for name in list(SYMBOL_COLUMNS)[:7]}
        found = self._table("MARTS.dim_symbols", kinds, [], {}, "feed, symbol").to_pydict()
        return Catalog(Listing(*row) for row in zip(*found.values(), strict=True))

    def _table(
        self,
        relation: str,
        kinds: Mapping[str, pa.DataType],
        conditions: Sequence[str],
        values: Mapping[str, Any],
        order: str,
    ) -> pa.Table:
        cells = (
            f"date_part(epoch_microsecond, {name}) as {name}" if pa.types.is_timestamp(kind) else name
            for name, kind in kinds.items()
        )
        where = f" where {' and '.join(conditions)}" if conditions else ""
        statement = f"select {', '.join(cells)} from {relation}{where} order by {order}"
        return self._warehouse.read(statement, values, schema(list(kinds), kinds)).read_all()
