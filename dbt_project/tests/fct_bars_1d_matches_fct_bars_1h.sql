-- A day's volume and bars are those of its hours, where the day has a row.
with

hours as (
    select
        feed,
        symbol,
        bar_date,
        {{ exact_sum('volume') }} as volume,
        sum(cast(actual_bars as integer)) as actual_bars
    from {{ ref('fct_bars_1h') }}
    group by feed, symbol, bar_date
)

select
    days.feed,
    days.symbol,
    days.bar_date
from {{ ref('fct_bars_1d') }} as days
inner join hours
    on
        days.feed = hours.feed
        and days.symbol = hours.symbol
        and days.bar_date = hours.bar_date
where
    abs(days.volume - hours.volume) > 1e-6 * greatest(days.volume, 1)
    or days.actual_bars != hours.actual_bars
