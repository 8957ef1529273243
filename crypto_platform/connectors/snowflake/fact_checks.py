"""Questions to the marts: whether they hold what the ledger holds, and what the calendar expects."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from crypto_platform.connectors.snowflake.statements import DOES_NOT_EXIST, rows
from crypto_platform.market.symbol_history import Periods

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


def differing_days(
    connection: "SnowflakeConnection", feeds: Iterable[str], start: date, end: date
) -> list[dict[str, Any]]:
    """The UTC days of [start, end) whose bars in `MARTS.FCT_BARS` are not as many as in the ledger.

    By day, feed and symbol, with `in_ledger` and `in_facts`. The ledger is read through its staging views, which are
    there for feeds that were never loaded.
    """
    ledgers = " UNION ALL ".join(
        "SELECT DISTINCT feed, symbol, timeframe, bar_start, 1 AS in_ledger, 0 AS in_facts "
        f"FROM STAGING.STG_{feed.upper()}__BARS WHERE bar_start >= %s AND bar_start < %s"
        for feed in feeds
    )
    window = (start.isoformat(), end.isoformat())
    cursor = connection.cursor()
    cursor.execute(
        "SELECT bar_start::date AS day, feed, symbol, sum(in_ledger) AS in_ledger, sum(in_facts) AS in_facts FROM ("
        f"{ledgers} UNION ALL SELECT feed, symbol, timeframe, bar_start, 0, 1 FROM MARTS.FCT_BARS "
        "WHERE bar_start >= %s AND bar_start < %s) bars "
        "GROUP BY 1, 2, 3 HAVING sum(in_ledger) <> sum(in_facts) ORDER BY 1, 2, 3",
        window * (ledgers.count("%s") // 2 + 1),
    )
    names = ("day", "feed", "symbol", "in_ledger", "in_facts")
    return [dict(zip(names, (row[0], row[1], row[2], int(row[3]), int(row[4])), strict=True)) for row in cursor]


def incomplete_sessions(connection: "SnowflakeConnection", start: date, end: date) -> list[dict[str, Any]]:
    """The sessions of [start, end), in their calendar's days, that lack bars: any of crypto, all of a stock's.

    Not those through all of which the stock was halted.
    """
    cursor = connection.cursor()
    cursor.execute(
        "WITH halted AS (SELECT DISTINCT halts.feed, halts.symbol, sessions.session_date "
        "FROM MARTS.FCT_TRADING_HALTS AS halts "
        "INNER JOIN MARTS.DIM_SYMBOLS AS symbols ON halts.feed = symbols.feed AND halts.symbol = symbols.symbol "
        "INNER JOIN MARTS.DIM_SESSIONS AS sessions ON symbols.calendar = sessions.calendar "
        "AND halts.halted_at <= sessions.opens_at AND coalesce(halts.resumed_at >= sessions.closes_at, true) "
        "WHERE sessions.session_date >= %s AND sessions.session_date < %s) "
        "SELECT days.bar_date, days.feed, days.symbol, expected_bars, actual_bars, rejected_bars "
        "FROM MARTS.FCT_COMPLETENESS AS days LEFT JOIN halted "
        "ON days.feed = halted.feed AND days.symbol = halted.symbol AND days.bar_date = halted.session_date "
        "WHERE days.bar_date >= %s AND days.bar_date < %s "
        "AND iff(asset_class = 'crypto', missing_bars > 0, actual_bars = 0 AND halted.feed IS NULL) ORDER BY 1, 2, 3",
        (start.isoformat(), end.isoformat()) * 2,
    )
    names = ("day", "feed", "symbol", "expected", "actual", "rejected")
    return [dict(zip(names, row, strict=True)) for row in cursor]


def newest_ex_dates(connection: "SnowflakeConnection", feed: str) -> dict[str, date | None]:
    """The ex-date of the newest corporate action of each symbol of a feed; None of a symbol without any.

    No symbol before the first build.
    """
    found = _if_built(
        connection,
        "SELECT bars.symbol, max(actions.ex_date) FROM MARTS.FCT_BARS_1D AS bars "
        "LEFT JOIN MARTS.FCT_CORPORATE_ACTIONS AS actions ON bars.feed = actions.feed AND bars.symbol = actions.symbol "
        "WHERE bars.feed = %s GROUP BY 1",
        feed,
    )
    return dict(found)


def adjusted_closes(
    connection: "SnowflakeConnection", feed: str, symbols: Sequence[str], columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Symbol, day and these `columns` of the feed's adjusted days of these symbols."""
    return rows(
        connection.cursor(),
        f"SELECT symbol, bar_date, {', '.join(columns)} FROM MARTS.FCT_BARS_1D_ADJUSTED "
        f"WHERE feed = %s AND symbol IN ({_places(symbols)})",
        (feed, *symbols),
    )


def actions(connection: "SnowflakeConnection", feed: str, symbols: Sequence[str]) -> list[tuple[Any, ...]]:
    """Symbol, type, ex-date and status of the feed's corporate actions of these symbols, by ex-date."""
    return rows(
        connection.cursor(),
        "SELECT symbol, action_type, ex_date, status FROM MARTS.FCT_CORPORATE_ACTIONS "
        f"WHERE feed = %s AND ex_date IS NOT NULL AND symbol IN ({_places(symbols)}) ORDER BY 3, 2",
        (feed, *symbols),
    )


def symbol_periods(connection: "SnowflakeConnection", feed: str) -> Periods:
    """When the feed's tickers were in use, of those that began or ended; none before the first build."""
    periods = _if_built(
        connection,
        "SELECT symbol, valid_from, valid_to FROM MARTS.DIM_SYMBOL_HISTORY "
        "WHERE feed = %s AND NOT (valid_from IS NULL AND valid_to IS NULL)",
        feed,
    )
    found: dict[str, list[tuple[date | None, date | None]]] = {}
    for symbol, start, end in periods:
        found.setdefault(symbol, []).append((start, end))
    return found


def halted_at(connection: "SnowflakeConnection", feed: str, moment: datetime) -> dict[str, datetime]:
    """The feed's symbols that were halted at `moment` (UTC), each with the beginning of its halt.

    As the stream told it: of a day that was not streamed no halt is known, and none before the first build.
    """
    found = _if_built(
        connection,
        "SELECT symbol, halted_at FROM MARTS.FCT_TRADING_HALTS WHERE feed = %s AND halted_at <= %s::TIMESTAMP_NTZ "
        "AND coalesce(resumed_at > %s::TIMESTAMP_NTZ, true)",
        feed,
        *[moment.astimezone(UTC).replace(tzinfo=None).isoformat()] * 2,
    )
    return {symbol: at.replace(tzinfo=UTC) for symbol, at in found}


def _if_built(connection: "SnowflakeConnection", statement: str, *values: str) -> list[tuple[Any, ...]]:
    """The statement's rows; none where a table was not made yet."""
    from snowflake.connector.errors import ProgrammingError

    try:
        return rows(connection.cursor(), statement, values)
    except ProgrammingError as error:
        if error.errno == DOES_NOT_EXIST:
            return []
        raise


def _places(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))
