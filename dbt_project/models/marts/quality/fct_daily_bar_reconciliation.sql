{{ config(materialized='view') }}
with

complete_days as (
    select
        *,
        {{ timeframe_seconds('base_timeframe') }} as timeframe_seconds
    from {{ ref('fct_bars_1d') }}
    where is_complete
),

compared as (
    select
        days.feed,
        intraday.feed as intraday_feed,
        days.symbol,
        days.bar_date,
        {%- for column in ('open', 'high', 'low', 'close', 'volume') %}
        days.{{ column }},
        intraday.{{ column }} as intraday_{{ column }},
        {%- endfor %}
        {%- for column in ('open', 'high', 'low', 'close') %}
        intraday.{{ column }} / days.{{ column }} - 1 as {{ column }}_deviation,
        {%- endfor %}
        intraday.volume / nullif(days.volume, 0) as volume_ratio
    from complete_days as days
    inner join complete_days as intraday
        on
            days.asset_class = intraday.asset_class
            and days.symbol = intraday.symbol
            and days.bar_date = intraday.bar_date
            and days.timeframe_seconds = 86400
            and intraday.timeframe_seconds < 86400
)

select
    *,
    case
        {%- for column in ('open', 'high', 'low', 'close') %}
        when abs({{ column }}_deviation) > {{ var('daily_price_tolerance') }} then '{{ column }}'
        {%- endfor %}
        when volume_ratio > 1 + {{ var('daily_volume_tolerance') }} then 'volume'
    end as deviating_column
from compared
