with

days as (
    select
        *,
        {{ timeframe_seconds('timeframe') }} as timeframe_seconds
    from {{ ref('int_stream_days') }}
    where bars > 0
),

asked as (
    {{ requested_partitions() }}
),

-- Asked for after its day was over, a bar is as REST has it for good.
settled as (
    select * from asked
    where complete_until >= dateadd('day', 1, day)
)

select
    days.feed,
    days.asset_class,
    days.symbol,
    days.timeframe,
    days.bar_date,
    first_day.day is not null and last_day.day is not null as is_final,
    days.bars,
    days.stream_bars,
    days.rest_bars,
    days.only_stream_bars,
    days.only_rest_bars,
    days.differing_bars,
    days.largest_difference,
    days.updated_bars,
    days.median_lateness_seconds,
    days.p99_lateness_seconds,
    days.reconciled_bars,
    cast(100 * days.reconciled_bars / days.bars as float) as percent_reconciled,
    days.loaded_at
from days
-- A day in New York lies in two UTC days.
left join settled as first_day
    on
        days.feed = first_day.feed
        and days.symbol = first_day.symbol
        and days.timeframe_seconds = first_day.timeframe_seconds
        and cast(days.first_bar_start as date) = first_day.day
left join settled as last_day
    on
        days.feed = last_day.feed
        and days.symbol = last_day.symbol
        and days.timeframe_seconds = last_day.timeframe_seconds
        and cast(days.last_bar_start as date) = last_day.day
