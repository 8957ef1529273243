"""The tour: what the recordings hold of the feeds, and the tables to show in the end."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from crypto_platform.cli.runs import MaterializationRequest
from crypto_platform.market.bars import Timeframe
from crypto_platform.market.day_ranges import ONE_DAY
from crypto_platform.market.feed_spec import FeedSpec, feeds

if TYPE_CHECKING:
    from crypto_platform.sandbox.alpaca.corporate_actions import RecordedActions

# Daily bars are recorded of decades: the demo takes these weeks before and after the last split.
AROUND_THE_SPLIT = timedelta(weeks=3)

LAST_DAYS = """
select symbol, bar_date, open, high, low, close, volume, trade_count, round(vwap, 4) as vwap
from market.marts.fct_bars_1d
qualify row_number() over (partition by symbol order by bar_date desc) <= 3
order by symbol, bar_date
"""

SPLITS_ADJUSTED = """
select
    bars.symbol,
    bars.bar_date,
    bars.close,
    round(bars.close_split, 4) as close_split,
    round(bars.close_total_return, 4) as close_total_return,
    iff(
        bars.bar_date = actions.ex_date,
        regexp_replace(actions.new_rate || ' for ' || actions.old_rate || ' split', '[.]0( |$)', '\\\\1'),
        ''
    ) as action
from market.marts.fct_bars_1d_adjusted as bars
inner join market.marts.fct_corporate_actions as actions
    on bars.feed = actions.feed and bars.symbol = actions.symbol
where
    actions.status = 'applied'
    and actions.new_rate is not null
    and abs(datediff('day', bars.bar_date, actions.ex_date)) <= 4
order by bars.symbol, bars.bar_date
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


def requests(recordings: Path) -> list[MaterializationRequest]:
    """For each feed the days that a folder of recordings has of it, as far as they are partitions.

    Of daily bars, which are recorded of decades, the weeks around the last split.

    Raises:
        ValueError: the folder has no bars of any feed.
    """
    from crypto_platform.sandbox.alpaca.corporate_actions import RecordedActions
    from crypto_platform.sandbox.alpaca.recordings import read_folder

    found = []
    recorded, actions = read_folder(recordings), RecordedActions(recordings)
    for name, spec in feeds().items():
        times = [
            int(time)
            for (symbol, timeframe), recording in recorded.items()
            if symbol in spec.symbols and str(timeframe) == spec.timeframe
            for time in (recording.bars.times[0], recording.bars.times[-1])
        ]
        if times:
            first, last = (datetime.fromtimestamp(t // 10**9, UTC).date() for t in (min(times), max(times)))
            held = max(first, spec.start_date), last + ONE_DAY
            shown = _around_last_split(spec, actions, held) if Timeframe.parse(spec.timeframe).is_daily else [held]
            found += [MaterializationRequest(name, *days) for days in shown]
    if not found:
        raise ValueError(f"{recordings} has no bars of the feeds {', '.join(feeds())}")
    return found


def _around_last_split(spec: FeedSpec, actions: "RecordedActions", held: tuple[date, date]) -> list[tuple[date, date]]:
    """The days around the last split of the feed's symbols, as far as bars are held of them; none without a split."""
    ex_dates = [
        date.fromisoformat(action.body["ex_date"])
        for action in actions.between(spec.symbols, *held)
        if action.plural in ("forward_splits", "reverse_splits")
    ]
    if not ex_dates:
        return []
    last = max(ex_dates)
    start, end = max(held[0], last - AROUND_THE_SPLIT), min(held[1], last + AROUND_THE_SPLIT)
    return [(start, end)]
