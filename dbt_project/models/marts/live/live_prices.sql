{{ config(materialized='view') }}
with

bars as (
    select
        feed,
        asset_class,
        symbol,
        bar_date,
        timeframe_seconds,
        dateadd('second', timeframe_seconds, bar_start) as bar_end,
        close,
        source,
        observed_at
    from {{ ref('live_bars') }}
    union all
    -- A symbol that has not traded since has no live bar.
    select
        feed,
        asset_class,
        symbol,
        last_bar_date as bar_date,
        null as timeframe_seconds,
        last_bar_end as bar_end,
        last_price as close,
        last_source as source,
        last_observed_at as observed_at
    from {{ ref('int_market_state') }}
),

newest as (
    select * from bars
    -- Of a symbol that several feeds bring, the newest.
    qualify
        row_number() over (
            partition by asset_class, symbol
            order by bar_end desc, timeframe_seconds asc nulls last, feed asc
        ) = 1
),

days as (
    select
        feed,
        symbol,
        bar_date,
        open,
        high,
        low,
        close,
        close_split,
        volume,
        vwap,
        actual_bars
    from {{ ref('fct_bars_1d_adjusted') }}
    -- The facts have the live days only as they were when they were built.
    where bar_date < {{ live_from() }}
    union all
    select
        feed,
        symbol,
        bar_date,
        open,
        high,
        low,
        close,
        close as close_split,
        volume,
        vwap,
        actual_bars
    from {{ ref('live_bars_1d') }}
),

-- Of the session before, or of none: an older close would make a day's change of several days'.
previous as (
    select
        days.feed,
        days.symbol,
        days.close_split * coalesce(splits.split_factor, 1) as close
    from newest
    inner join {{ ref('dim_sessions') }} as sessions
        on
            {{ feed_attribute('newest.feed', 'calendar') }} = sessions.calendar
            and newest.bar_date = sessions.session_date
    inner join days
        on
            newest.feed = days.feed
            and newest.symbol = days.symbol
            and sessions.previous_session_date = days.bar_date
    left join {{ ref('int_pending_splits') }} as splits
        on days.feed = splits.feed and days.symbol = splits.symbol and days.bar_date < splits.ex_date
),

origins as (
    {{ origins() }}
),

-- Whichever feed told it.
halted as (
    select
        symbol,
        max(halted_at) as halted_since
    from {{ ref('int_live_halts') }}
    where resumed_at is null
    group by symbol
)

select
    newest.feed,
    newest.asset_class,
    newest.symbol,
    newest.close as last_price,
    newest.bar_end as last_price_at,
    datediff('second', newest.bar_end, sysdate()) as price_age_seconds,
    newest.source,
    newest.observed_at,
    newest.bar_date,
    newest.close / previous.close - 1 as change_today,
    today.open as open_today,
    today.high as high_today,
    today.low as low_today,
    today.volume as volume_today,
    today.vwap as vwap_today,
    today.actual_bars as bars_today,
    halted.halted_since,
    coalesce(origins.origin, 'market') as origin
from newest
left join days as today
    on newest.feed = today.feed and newest.symbol = today.symbol and newest.bar_date = today.bar_date
left join previous on newest.feed = previous.feed and newest.symbol = previous.symbol
left join halted on newest.symbol = halted.symbol
left join origins on newest.feed = origins.feed
