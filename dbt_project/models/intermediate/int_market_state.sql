{{ config(materialized='table') }}
with

last_days as (
    select
        feed,
        symbol,
        max(bar_date) as bar_date
    from (
        select
            feed,
            symbol,
            bar_date
        from {{ ref('fct_bars_1h') }}
        union all
        -- Symbols whose base bars are days have no hours.
        select
            feed,
            symbol,
            bar_date
        from {{ ref('fct_bars_1d') }}
    ) as days
    group by feed, symbol
),

-- A day before the newest bar may be a weekend and a holiday back.
recent as (
    select
        bars.*,
        dateadd('second', bars.timeframe_seconds, bars.bar_start) as bar_end
    from {{ ref('fct_bars_adjusted') }} as bars
    inner join last_days
        on
            bars.feed = last_days.feed
            and bars.symbol = last_days.symbol
            and bars.bar_date >= dateadd('day', -7, last_days.bar_date)
),

timed as (
    select
        *,
        max(bar_end) over (partition by feed, symbol) as last_bar_end
    from recent
),

-- The price of a time is its session's or, before a trade in it, that of the one before; an older one says nothing.
priced as (
    select
        timed.*,
        timed.bar_date >= sessions.previous_session_date
        and timed.bar_end <= dateadd('hour', -24, timed.last_bar_end) as is_price_24h_ago
    from timed
    left join {{ ref('dim_sessions') }} as sessions
        on
            {{ feed_attribute('timed.feed', 'calendar') }} = sessions.calendar
            and cast({{ to_exchange_time('timed.feed', "dateadd('hour', -24, timed.last_bar_end)") }} as date)
            = sessions.session_date
),

last_24_hours as (
    select
        feed,
        asset_class,
        symbol,
        last_bar_end,
        max(bar_date) as last_bar_date,
        max_by(close, bar_start) as last_price,
        max_by(source, bar_start) as last_source,
        max_by(observed_at, bar_start) as last_observed_at,
        max_by(close_split, iff(is_price_24h_ago, bar_start, null)) as price_24h_ago,
        max(iff(bar_end > dateadd('hour', -24, last_bar_end), high_split, null)) as high_24h,
        min(iff(bar_end > dateadd('hour', -24, last_bar_end), low_split, null)) as low_24h,
        {{ exact_sum("iff(bar_end > dateadd('hour', -24, last_bar_end), volume_split, 0)") }} as volume_24h
    from priced
    group by feed, asset_class, symbol, last_bar_end
),

volumes as (
    select
        days.feed,
        days.symbol,
        {{ exact_sum('days.volume_split') }} / count(*) as mean_volume_30d
    from {{ ref('fct_bars_1d_adjusted') }} as days
    inner join last_days
        on
            days.feed = last_days.feed
            and days.symbol = last_days.symbol
            and days.bar_date < last_days.bar_date
            and days.bar_date >= dateadd('day', -30, last_days.bar_date)
    group by days.feed, days.symbol
),

volatilities as (
    select
        feed,
        symbol,
        max_by(realised_volatility_30d, bar_date) as realised_volatility_30d
    from {{ ref('fct_returns_1d') }}
    group by feed, symbol
)

select
    state.*,
    volumes.mean_volume_30d,
    volatilities.realised_volatility_30d
from last_24_hours as state
left join volumes on state.feed = volumes.feed and state.symbol = volumes.symbol
left join volatilities on state.feed = volatilities.feed and state.symbol = volatilities.symbol
