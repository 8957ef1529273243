{{ config(materialized='incremental', unique_key='bar_date') }}
{% set increment = increment(ref('fct_bars')) %}

with

bars as (
    select
        *,
        -- Prices are those of regular hours, volume and VWAP those of all, as in Alpaca's daily bars.
        iff(session_phase = 'regular', bar_start, null) as regular_start
    from {{ ref('fct_bars') }}
    where {{ in_increment(increment, 'bar_date') }}
)

select
    feed,
    asset_class,
    symbol,
    bar_date,
    timeframe as base_timeframe,
    min_by(open, regular_start) as open,
    max(iff(regular_start is null, null, high)) as high,
    min(iff(regular_start is null, null, low)) as low,
    max_by(close, regular_start) as close,
    {{ exact_sum('volume') }} as volume,
    sum(cast(trade_count as number(38, 0))) as trade_count,
    {{ vwap_of_bars() }} as vwap,
    max(loaded_at) as loaded_at
from bars
group by feed, asset_class, symbol, bar_date, timeframe, timeframe_seconds
having count(regular_start) > 0
-- A feed whose timeframe was changed has days in both: the finer one makes the day.
qualify row_number() over (partition by feed, symbol, bar_date order by timeframe_seconds) = 1
