"""`crypto-platform chart`: candles of the marts in the terminal."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from crypto_platform.cli.candles import Candle
    from crypto_platform.settings import Settings

FAILURE = 1

HEIGHT_OF_A_FILE = 30
SMALLEST = 40


class NoBarsError(LookupError):
    """There is nothing to draw; the message says what there is."""


def chart(
    symbol: Annotated[str, typer.Argument(help="As Alpaca writes it: BTC/USD, AAPL.")],
    timeframe: Annotated[str, typer.Option(help="How long a bar is: 1d, 1h, 15m, 5m, or a feed's own.")] = "1Day",
    start: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="First UTC day."),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The UTC day after the last."),
    ] = None,
    feed: Annotated[
        str | None, typer.Option(help="Of a symbol that several feeds have; left out: the one with the newest bar.")
    ] = None,
) -> None:
    """Draw candles and volumes of a symbol in the terminal, from MARTS on Snowflake.

    Without --from and --to the newest bars that fit; of a range with more bars each candle is several in a row. The
    embedded Snowflake is started for it when it is not up. Colours are left out where the output is no terminal.

    Example: crypto-platform chart BTC/USD --timeframe 1h --from 2026-03-01 --to 2026-03-04
    """
    from rich.console import Console

    from crypto_platform.cli.candles import AXIS, draw
    from crypto_platform.cli.console import stdout
    from crypto_platform.cli.pipeline import usage
    from crypto_platform.sandbox import display, supervise
    from crypto_platform.sandbox.alpaca.recordings import timeframe_of
    from crypto_platform.settings import settings

    with usage():
        wanted = str(timeframe_of(timeframe))
        if start and end and start >= end:
            raise ValueError(f"[{start.date()}, {end.date()}) is empty: the end is exclusive, give a later day")
    console = stdout()
    width = max(SMALLEST, console.width)
    # A line each for the title and for the prompt that follows.
    height = console.height - 2 if console.is_terminal else HEIGHT_OF_A_FILE
    with supervise.sandbox(settings(), {"snowflake"}, display.starting(Console(stderr=True))) as effective:
        try:
            title, candles = _candles(effective, symbol, wanted, start, end, feed, width - AXIS)
        except NoBarsError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILURE) from None
    console.print(title, markup=False, highlight=False)
    for line in draw(candles, width, height - 1):
        console.print(line, no_wrap=True, overflow="crop")


def _candles(
    settings: "Settings",
    symbol: str,
    timeframe: str,
    start: datetime | None,
    end: datetime | None,
    feed: str | None,
    most: int,
) -> "tuple[str, list[Candle]]":
    """A title and at most `most` candles, ascending.

    Raises:
        NoBarsError: there are none; says of what and of when there are.
    """
    from crypto_platform.cli.candles import Candle
    from crypto_platform.research.catalog import ROLLED_UP

    # Of any other timeframe it has the base bars of the feeds that are of it.
    table = ROLLED_UP.get(timeframe, "fct_bars")
    time = "bar_date" if timeframe == "1Day" else "bar_start"
    condition, values = "symbol = %s", [symbol]
    if table == "fct_bars":
        condition, values = f"{condition} and timeframe = %s", [*values, timeframe]
    known = _rows(
        settings,
        f"select feed, count(*), min({time}), max({time}) from marts.{table} where {condition} group by 1 "
        "order by 4 desc, 1",
        values,
    )
    if not known:
        raise NoBarsError(_what_there_is(settings, symbol, timeframe))
    of_feed = {name: found for name, *found in known}
    if feed is not None and feed not in of_feed:
        raise NoBarsError(f"Feed {feed} has no bars of {symbol} {timeframe}, but {', '.join(of_feed)}.")
    chosen = feed or known[0][0]
    condition, values = f"{condition} and feed = %s", [*values, chosen]
    for edge, sign in ((start, ">="), (end, "<")):
        if edge:
            condition, values = f"{condition} and {time} {sign} %s", [*values, edge.strftime("%Y-%m-%d")]
    newest = "" if start or end else f"qualify row_number() over (order by {time} desc) <= {most}"
    rows = _rows(
        settings,
        f"""
        with bars as (
            select {time} as t, open, high, low, close, volume from marts.{table} where {condition} {newest}
        ),
        placed as (select *, row_number() over (order by t) - 1 as place, count(*) over () as total from bars)
        select min(t), min_by(open, place), max(high), min(low), max_by(close, place), sum(volume), count(*)
        from placed group by floor(place / ceil(total / {most})) order by 1
        """,
        values,
    )
    bars, first, last = of_feed[chosen]
    if not rows:
        raise NoBarsError(
            f"No bars of {symbol} {timeframe} in {_range(start, end)}: there are {bars:,}, {first} to {last} (UTC)."
        )
    candles = [Candle(_moment(t), *(float(value) for value in values)) for t, *values, _ in rows]
    drawn, several = sum(row[-1] for row in rows), rows[0][-1]
    others = [name for name in of_feed if name != chosen]
    title = f"{symbol} {timeframe}, {chosen}, {drawn:,} bars to {candles[-1].close:,}, UTC"
    title += f", a candle is {several} bars" if several > 1 else ""
    return title + (f" (--feed {', '.join(others)} has it too)" if others else ""), candles


def _rows(settings: "Settings", sql: str, values: list[str]) -> list[tuple[Any, ...]]:
    """Raises NoBarsError where dbt has built nothing yet."""
    from crypto_platform.connectors.snowflake.query import QueryError, query

    try:
        with query(settings, sql, values) as result:
            return list(result.rows)
    except QueryError as error:
        if "does not exist" in str(error):
            raise NoBarsError(
                "MARTS is not built yet: take a feed's days through the stages with `crypto-platform materialize`, or "
                f"run `crypto-platform demo` ({error})"
            ) from error
        raise


def _what_there_is(settings: "Settings", symbol: str, timeframe: str) -> str:
    from crypto_platform.research.catalog import ROLLED_UP

    parts = [
        f"select '{name}', count(*), min({'bar_date' if name == '1Day' else 'bar_start'}), max(bar_date) "
        f"from marts.{table} where symbol = %s having count(*) > 0"
        for name, table in ROLLED_UP.items()
    ]
    found = _rows(settings, " union all ".join(parts), [symbol] * len(parts))
    if found:
        told = "; ".join(f"{name} {bars:,}, {first} to {last}" for name, bars, first, last in found)
        return f"No bars of {symbol} {timeframe}. Bars of {symbol} there are: {told} (UTC)."
    symbols = [
        name for (name,) in _rows(settings, "select distinct symbol from marts.fct_bars_1d order by 1 limit 21", [])
    ]
    more = ", …" if len(symbols) > 20 else ""
    return f"No bars of {symbol}. There are bars of {', '.join(symbols[:20]) or 'nothing'}{more}."


def _range(start: datetime | None, end: datetime | None) -> str:
    return f"[{start.date() if start else '…'}, {end.date() if end else '…'})"


def _moment(value: date) -> datetime:
    return value if isinstance(value, datetime) else datetime.combine(value, datetime.min.time())
