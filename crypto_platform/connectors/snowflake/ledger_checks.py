"""Questions to the ledger that prove a load: which bars are in, and whether they are what they should be."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from crypto_platform.connectors.snowflake.schema import LOADS
from crypto_platform.connectors.snowflake.statements import DOES_NOT_EXIST, rows
from crypto_platform.market.bars import BARS, TIMEZONES, VALUE_RULES, Timeframe
from crypto_platform.market.corporate_actions import CORPORATE_ACTIONS, SPLIT_TYPES
from crypto_platform.market.dataset import Dataset, broken_rule
from crypto_platform.market.outliers import DayFigures, Splits

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

# Bars shown of those that a check finds.
EXAMPLES = 10
# What the load refuses, and took before it had the rule.
BROKEN = f"({broken_rule(VALUE_RULES)}) IS NOT NULL"


def figures_by_day(
    connection: "SnowflakeConnection", feed: str, timeframe: Timeframe, start: date, end: date
) -> dict[tuple[date, str], DayFigures]:
    """What the ledger holds per UTC day of [start, end) and symbol, in their order.

    Prices and volumes of days with several versions of a bar are those of the current versions.
    """
    found = _figures(connection, BARS.ledger(feed), timeframe, start, end)
    corrected = [day for (day, _), figures in found.items() if figures.versions > figures.bars]
    if corrected:
        # Sorting versions costs more than all else here: only where there are any.
        again = _figures(connection, _current(feed), timeframe, min(corrected), max(corrected) + timedelta(days=1))
        found |= {key: replace(now, versions=found[key].versions) for key, now in again.items()}
    return found


def _figures(
    connection: "SnowflakeConnection", table: str, timeframe: Timeframe, start: date, end: date
) -> dict[tuple[date, str], DayFigures]:
    cursor = connection.cursor()
    # As the load's rule has it: a stock's day begins at midnight in New York.
    on_the_clock = (
        f"iff(contains(symbol, '/'), bar_start, convert_timezone('UTC', '{TIMEZONES['us_equity']}', bar_start))"
        if timeframe.is_daily
        else "bar_start"
    )
    cursor.execute(
        "SELECT bar_start::date, symbol, count(DISTINCT bar_start), count(*), "
        f"count_if(mod(date_part(epoch_second, {on_the_clock}), %s) <> 0), count_if({BROKEN}), median(close), "
        "percentile_cont(0.25) WITHIN GROUP (ORDER BY close), percentile_cont(0.75) WITHIN GROUP (ORDER BY close), "
        f"min(low), max(high), sum(volume) FROM {table} "
        "WHERE timeframe = %s AND bar_start >= %s AND bar_start < %s GROUP BY 1, 2 ORDER BY 1, 2",
        (timeframe.seconds, timeframe.name, start.isoformat(), end.isoformat()),
    )
    return {
        (day, symbol): DayFigures(bars, versions, off_grid, broken, middle, (lower, upper), low, high, volume)
        for day, symbol, bars, versions, off_grid, broken, middle, lower, upper, low, high, volume in cursor
    }


def splits(connection: "SnowflakeConnection", feed: str, start: date, end: date) -> Splits:
    """The splits and stock dividends of a feed with ex-dates in [start, end), as their newest versions have them.

    None where no corporate action of the feed was ever loaded.
    """
    from snowflake.connector.errors import ProgrammingError

    types = ", ".join(["%s"] * len(SPLIT_TYPES))
    statement = (
        # One that Alpaca serves by two ids is one.
        "SELECT DISTINCT symbol, ex_date, iff(rate > 0, 1 / (1 + rate), old_rate / nullif(new_rate, 0)) "
        f"FROM {_current(feed, CORPORATE_ACTIONS)} WHERE action_type IN ({types}) AND ex_date >= %s AND ex_date < %s"
    )
    found: dict[str, list[tuple[date, float]]] = {}
    try:
        for symbol, ex_date, factor in rows(connection.cursor(), statement, (*SPLIT_TYPES, str(start), str(end))):
            if factor:
                found.setdefault(symbol, []).append((ex_date, factor))
    except ProgrammingError as error:
        if error.errno != DOES_NOT_EXIST:
            raise
    return found


def broken_bars(
    connection: "SnowflakeConnection", feed: str, timeframe: Timeframe, day: date, symbol: str
) -> list[dict[str, Any]]:
    """The first `EXAMPLES` of a day's current bars whose prices do not hold together."""
    return _bars(connection, feed, timeframe, day, f"symbol = %s AND {BROKEN}", (symbol,))


def bars_outside(
    connection: "SnowflakeConnection",
    feed: str,
    timeframe: Timeframe,
    day: date,
    symbol: str,
    prices: tuple[float, float],
) -> list[dict[str, Any]]:
    """The first `EXAMPLES` of a day's current bars that have a price below or above `prices`."""
    return _bars(connection, feed, timeframe, day, "symbol = %s AND (low < %s OR high > %s)", (symbol, *prices))


def newest_of_day(
    connection: "SnowflakeConnection", feed: str, timeframe: Timeframe, day: date
) -> list[dict[str, Any]]:
    """The last `EXAMPLES` of a UTC day's current bars, the newest first."""
    return _bars(connection, feed, timeframe, day, "TRUE", order="bar_start DESC, symbol")


@dataclass(frozen=True)
class Balance:
    """How many versions the ledger holds in all, and how many its loads put there, less what was given up."""

    held: int
    loaded: int

    @property
    def lacking(self) -> int:
        return max(0, self.loaded - self.held)


def balance(connection: "SnowflakeConnection", feed: str, dataset: Dataset = BARS) -> Balance:
    """The ledger beside its loads, in one statement: a load that commits meanwhile is in both or in neither."""
    cursor = connection.cursor()
    cursor.execute(
        f"SELECT (SELECT count(*) FROM {dataset.ledger(feed)}), "
        f"(SELECT coalesce(sum(loaded), 0) FROM {LOADS} WHERE topic = %s)",
        (dataset.topic(feed),),
    )
    ((held, loaded),) = cursor.fetchall()
    return Balance(int(held), int(loaded))


def current_records(
    connection: "SnowflakeConnection", feed: str, dataset: Dataset, timeframe: str
) -> Iterator[tuple[Any, ...]]:
    """The values of the dataset's fields in every current version, in no order; of bars those of one timeframe."""
    columns = ", ".join(field.column for field in dataset.fields)
    bars, values = (" WHERE timeframe = %s", (timeframe,)) if dataset is BARS else ("", None)
    cursor = connection.cursor()
    cursor.execute(f"SELECT {columns} FROM {_current(feed, dataset)}{bars}", values)
    yield from cursor


def rejected_values(connection: "SnowflakeConnection", feed: str, dataset: Dataset) -> set[bytes]:
    """The messages of a feed that loads rejected."""
    statement = f"SELECT DISTINCT raw_value FROM {dataset.rejects} WHERE feed = %s AND raw_value IS NOT NULL"
    return {bytes(value) for (value,) in rows(connection.cursor(), statement, (feed,))}


def bars_by_day(connection: "SnowflakeConnection", feed: str, timeframe: str) -> dict[date, dict[str, int]]:
    """How many bars the ledger holds of each UTC day and symbol."""
    statement = (
        f"SELECT bar_start::date, symbol, count(DISTINCT bar_start) FROM {BARS.ledger(feed)} WHERE timeframe = %s "
        "GROUP BY 1, 2"
    )
    held: dict[date, dict[str, int]] = {}
    for day, symbol, count in rows(connection.cursor(), statement, (timeframe,)):
        held.setdefault(day, {})[symbol] = int(count)
    return held


def actions_by_day(connection: "SnowflakeConnection", feed: str, start: date, end: date) -> dict[date, dict[str, int]]:
    """How many corporate actions of the process dates [start, end) the ledger holds, by day and symbol."""
    cursor = connection.cursor()
    cursor.execute(
        f"SELECT process_date, symbol, count(DISTINCT action_id) FROM {CORPORATE_ACTIONS.ledger(feed)} "
        "WHERE process_date >= %s AND process_date < %s GROUP BY 1, 2 ORDER BY 1, 2",
        (start.isoformat(), end.isoformat()),
    )
    held: dict[date, dict[str, int]] = {}
    for day, symbol, actions in cursor:
        held.setdefault(day, {})[symbol] = int(actions)
    return held


def _bars(
    connection: "SnowflakeConnection",
    feed: str,
    timeframe: Timeframe,
    day: date,
    which: str,
    values: tuple[object, ...] = (),
    order: str = "bar_start",
) -> list[dict[str, Any]]:
    cursor = connection.cursor()
    columns = ("symbol", "bar_start", "open", "high", "low", "close", "vwap", "volume", "source", "observed_at")
    cursor.execute(
        f"SELECT {', '.join(columns)} FROM {_current(feed)} WHERE timeframe = %s "
        f"AND bar_start >= %s AND bar_start < %s AND {which} ORDER BY {order} LIMIT {EXAMPLES}",
        (timeframe.name, day.isoformat(), (day + timedelta(days=1)).isoformat(), *values),
    )
    return [dict(zip(columns, row, strict=True)) for row in cursor]


def _current(feed: str, dataset: Dataset = BARS) -> str:
    """SQL: the ledger's records as they are known now."""
    key, newest = ", ".join(dataset.key), "observed_at DESC, loaded_at DESC, kafka_offset DESC"
    return (
        f"(SELECT * FROM {dataset.ledger(feed)} "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {newest}) = 1) AS known"
    )


def repeated_messages(connection: "SnowflakeConnection", feed: str, load_id: str, dataset: Dataset = BARS) -> int:
    """How many messages of a load the ledger holds more than once, counted over all loads of the topic's life."""
    table = dataset.ledger(feed)
    return _count(
        connection,
        f"SELECT count(*) FROM (SELECT kafka_partition, kafka_offset FROM {table} WHERE load_id = %s "
        "GROUP BY 1, 2 HAVING count(*) > 1)",
        (load_id,),
    )


def newest_bars(
    connection: "SnowflakeConnection", table: str, timeframe: Timeframe, since: date, before: date
) -> dict[str, datetime]:
    """The newest bar_start, UTC, of each symbol of a ledger that has bars in the UTC days [since, before)."""
    return _newest(
        connection,
        f"{table} WHERE timeframe = %s AND bar_start >= %s AND bar_start < %s",
        (timeframe.name, since.isoformat(), before.isoformat()),
    )


def newest_facts(
    connection: "SnowflakeConnection", feed: str, timeframe: Timeframe, since: date, before: date
) -> dict[str, datetime]:
    """The same of the feed's rows of `MARTS.FCT_BARS`."""
    return _newest(
        connection,
        "MARTS.FCT_BARS WHERE feed = %s AND timeframe = %s AND bar_start >= %s AND bar_start < %s",
        (feed, timeframe.name, since.isoformat(), before.isoformat()),
    )


def _newest(connection: "SnowflakeConnection", where: str, values: tuple[object, ...]) -> dict[str, datetime]:
    cursor = connection.cursor()
    cursor.execute(f"SELECT symbol, max(bar_start) FROM {where} GROUP BY symbol", values)
    return {symbol: newest.replace(tzinfo=UTC) for symbol, newest in cursor}


def _count(connection: "SnowflakeConnection", statement: str, values: tuple[object, ...]) -> int:
    cursor = connection.cursor()
    cursor.execute(statement, values)
    return int(cursor.fetchall()[0][0])
