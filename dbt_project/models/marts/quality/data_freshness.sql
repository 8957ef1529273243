{{ config(materialized='view') }}
with

loaded as (
    select
        feed,
        symbol,
        max(loaded_at) as last_loaded_at
    from {{ ref('fct_bars_1d') }}
    group by feed, symbol
),

origins as (
    {{ origins() }}
),

-- Recorded bars end where the recordings do; there the clock stands still.
clocks as (
    select
        state.feed,
        state.symbol,
        coalesce(origins.origin, 'market') as origin,
        iff(origins.origin = 'recorded', state.last_bar_end, sysdate()) as measured_at
    from {{ ref('int_market_state') }} as state
    left join origins on state.feed = origins.feed
),

closed_sessions as (
    select
        calendar,
        session_date,
        opens_at,
        closes_at
    from {{ ref('dim_sessions') }}
    where is_open
),

behind as (
    select
        symbols.feed,
        symbols.symbol,
        -- In a halt there is nothing to come.
        count(iff(halts.symbol is null, closed_sessions.session_date, null)) as sessions_behind
    from {{ ref('dim_symbols') }} as symbols
    inner join clocks on symbols.feed = clocks.feed and symbols.symbol = clocks.symbol
    left join closed_sessions
        on
            symbols.calendar = closed_sessions.calendar
            and symbols.last_bar_date < closed_sessions.session_date
            and clocks.measured_at >= closed_sessions.closes_at
            and coalesce(symbols.valid_to > closed_sessions.session_date, true)
    left join {{ ref('fct_trading_halts') }} as halts
        on
            symbols.feed = halts.feed
            and symbols.symbol = halts.symbol
            and closed_sessions.opens_at >= halts.halted_at
            and coalesce(closed_sessions.closes_at <= halts.resumed_at, true)
    group by symbols.feed, symbols.symbol
)

select
    symbols.feed,
    symbols.asset_class,
    symbols.symbol,
    symbols.timeframe,
    state.last_bar_end,
    datediff('second', state.last_bar_end, clocks.measured_at) as age_seconds,
    loaded.last_loaded_at,
    behind.sessions_behind,
    clocks.origin,
    clocks.measured_at
from {{ ref('dim_symbols') }} as symbols
inner join {{ ref('int_market_state') }} as state on symbols.feed = state.feed and symbols.symbol = state.symbol
inner join clocks on symbols.feed = clocks.feed and symbols.symbol = clocks.symbol
inner join loaded on symbols.feed = loaded.feed and symbols.symbol = loaded.symbol
inner join behind on symbols.feed = behind.feed and symbols.symbol = behind.symbol
