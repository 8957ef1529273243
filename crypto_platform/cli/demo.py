"""The tour: what the recordings hold of the feeds, and the tables to show in the end."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from crypto_platform.cli.runs import Order
from crypto_platform.market.bars import Timeframe
from crypto_platform.market.feed_spec import feeds

LAST_DAYS = """
select symbol, bar_date, open, high, low, close, volume, trade_count, round(vwap, 4) as vwap
from market.marts.fct_bars_1d
qualify row_number() over (partition by symbol order by bar_date desc) <= 3
order by symbol, bar_date
"""

OVERVIEW = """
select
    symbol,
    last_price,
    to_char(last_price_at, 'YYYY-MM-DD HH24:MI') as priced_at,
    round(100 * change_24h, 2) as change_24h_pct,
    high_24h,
    low_24h,
    round(volume_24h, 2) as volume_24h,
    round(volume_ratio, 2) as volume_ratio_30d,
    round(100 * realised_volatility_30d, 1) as volatility_30d_pct,
    volatility_rank
from market.marts.market_overview
order by symbol
"""


def orders(recordings: Path) -> list[Order]:
    """For each feed the days that a folder of recordings has of it, as far as they are partitions.

    Feeds of daily bars, whose recordings are of decades, are left to a range that somebody chooses.

    Raises:
        ValueError: the folder has no bars of any feed.
    """
    from crypto_platform.sandbox.alpaca.recordings import read_folder

    found = []
    recorded = read_folder(recordings)
    for name, spec in feeds().items():
        if Timeframe.parse(spec.timeframe).is_daily:
            continue
        times = [
            int(time)
            for (symbol, timeframe), recording in recorded.items()
            if symbol in spec.symbols and str(timeframe) == spec.timeframe
            for time in (recording.bars.times[0], recording.bars.times[-1])
        ]
        if times:
            first, last = (datetime.fromtimestamp(t // 10**9, UTC).date() for t in (min(times), max(times)))
            found.append(Order(name, max(first, spec.start_date), last + timedelta(days=1)))
    if not found:
        raise ValueError(f"{recordings} has no bars of the feeds {', '.join(feeds())}")
    return found
