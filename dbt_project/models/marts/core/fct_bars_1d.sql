{{ config(materialized='incremental', unique_key='bar_date') }}
{% set relations = {} %}
{% for feed in var('feeds') %}{% do relations.update({feed: ref('fct_bars')}) %}{% endfor %}
{% set increment = increment(relations) %}

with

bars as (
    select
        *,
        -- the hours that make a day's prices; its volume and VWAP take in all hours, as Alpaca's daily bars do
        iff(session_phase = 'regular', bar_start, null) as regular_start,
        {{ exact('volume') }} as exact_volume,
        iff(vwap > 0 and volume > 0, {{ exact('vwap * volume', 12) }}, null) as exact_turnover
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
    cast(sum(exact_volume) as float) as volume,
    cast(sum(trade_count) as number(38, 0)) as trade_count,
    cast(sum(exact_turnover) as float)
    / cast(sum(iff(exact_turnover is null, null, exact_volume)) as float) as vwap,
    max(loaded_at) as loaded_at
from bars
group by feed, asset_class, symbol, bar_date, timeframe, timeframe_seconds
having count(regular_start) > 0
-- a feed whose timeframe was changed has days in two of them: the finer one makes the day
qualify row_number() over (partition by feed, symbol, bar_date order by timeframe_seconds) = 1
