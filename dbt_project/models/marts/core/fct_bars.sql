{{ config(materialized='incremental') }}
{% set increment = incremental_window(staging_views()) %}

with

bars as (
    select *
    from {{ ref('int_bar_versions') }}
    where
        {{ in_increment(increment, 'bar_start', days_before=1, days_after=1) }}
        and {{ before_high_watermark(increment) }}
    qualify {{ is_newest() }}
)

select
    bars.feed,
    bars.asset_class,
    bars.symbol,
    bars.timeframe,
    bars.timeframe_seconds,
    bars.bar_start,
    bars.bar_date,
    {{ session_phase('bars', 'sessions') }} as session_phase,
    bars.open,
    bars.high,
    bars.low,
    bars.close,
    bars.volume,
    bars.trade_count,
    bars.vwap,
    bars.source,
    bars.observed_at,
    bars.loaded_at
from bars
left join {{ ref('dim_sessions') }} as sessions
    on bars.calendar = sessions.calendar and bars.bar_date = sessions.session_date
where {{ in_increment(increment, 'bars.bar_date') }}
