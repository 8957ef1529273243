{{ config(materialized='ephemeral') }}
{%- set columns = [
    'feed', 'asset_class', 'symbol', 'bar_start', 'bar_date', 'high', 'low', 'close', 'vwap', 'volume', 'loaded_at',
] %}
with

hours as (
    select {{ columns | join(', ') }}
    from {{ ref('int_bars_1h_adjusted') }}
    where bar_date < {{ live_from() }}
    union all
    select {{ columns | join(', ') }}
    from {{ ref('live_bars_1h') }}
)

select
    hours.* exclude (high, low, close, vwap, volume),
    -- On a split's morning the facts are on the scale of the day before.
    {%- for column in ('high', 'low', 'close', 'vwap') %}
    hours.{{ column }} * coalesce(splits.split_factor, 1) as {{ column }},
    {%- endfor %}
    hours.volume / coalesce(splits.split_factor, 1) as volume,
    coalesce(versions.factors_version, '') as factors_version
from hours
left join {{ ref('int_pending_splits') }} as splits
    on hours.feed = splits.feed and hours.symbol = splits.symbol and hours.bar_date < splits.ex_date
left join {{ ref('int_symbol_factors') }} as versions
    on hours.feed = versions.feed and hours.symbol = versions.symbol
