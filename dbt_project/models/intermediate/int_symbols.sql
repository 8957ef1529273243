select
    feed,
    asset_class,
    symbol,
    {{ feed_attribute('feed', 'calendar') }} as calendar,
    max_by(base_timeframe, bar_date) as timeframe,
    min(bar_date) as first_bar_date,
    max(bar_date) as last_bar_date,
    count(*) as days
from {{ ref('fct_bars_1d') }}
group by feed, asset_class, symbol
