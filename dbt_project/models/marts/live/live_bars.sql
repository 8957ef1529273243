{{ config(materialized='view') }}
with

bars as (
    {{ live_versions() }}
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
