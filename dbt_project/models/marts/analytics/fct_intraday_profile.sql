with

hours as (
    select
        feed,
        asset_class,
        symbol,
        {{ to_exchange_time('feed', 'bar_start') }} as local_start,
        volume,
        ln(close / open) as log_return
    from {{ ref('int_bars_1h_adjusted') }}
),

by_hour as (
    select
        feed,
        asset_class,
        symbol,
        dayofweekiso(local_start) as day_of_week,
        hour(local_start) as hour_of_day,
        count(*) as bars,
        {{ exact_sum('volume') }} as volume,
        {{ exact_sum('log_return', 24) }} as sum_return,
        {{ exact_sum('log_return * log_return', 24) }} as sum_square
    from hours
    group by all
)

select
    feed,
    asset_class,
    symbol,
    (day_of_week - 1) * 24 + hour_of_day as hour_of_week,
    day_of_week,
    hour_of_day,
    bars,
    volume / bars as mean_volume,
    volume
    / nullif(cast(sum(cast(volume as number(38, 9))) over (partition by feed, symbol) as float), 0) as volume_share,
    sqrt(greatest(sum_square - sum_return * sum_return / bars, 0) / nullif(bars - 1, 0)) as hourly_volatility
from by_hour
