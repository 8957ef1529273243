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

over as (
    select
        calendar,
        session_date,
        opens_at,
        closes_at
    from {{ ref('dim_sessions') }}
    where is_open and closes_at <= sysdate()
),

behind as (
    select
        symbols.feed,
        symbols.symbol,
        -- In a halt there is nothing to come.
        count(iff(halts.symbol is null, over.session_date, null)) as sessions_behind
    from {{ ref('dim_symbols') }} as symbols
    left join over
        on
            symbols.calendar = over.calendar
            and symbols.last_bar_date < over.session_date
            and coalesce(symbols.valid_to > over.session_date, true)
    left join {{ ref('fct_trading_halts') }} as halts
        on
            symbols.feed = halts.feed
            and symbols.symbol = halts.symbol
            and over.opens_at >= halts.halted_at
            and coalesce(over.closes_at <= halts.resumed_at, true)
    group by symbols.feed, symbols.symbol
)

select
    symbols.feed,
    symbols.asset_class,
    symbols.symbol,
    symbols.timeframe,
    state.last_bar_end,
    datediff('second', state.last_bar_end, sysdate()) as age_seconds,
    loaded.last_loaded_at,
    behind.sessions_behind
from {{ ref('dim_symbols') }} as symbols
inner join {{ ref('int_market_state') }} as state on symbols.feed = state.feed and symbols.symbol = state.symbol
inner join loaded on symbols.feed = loaded.feed and symbols.symbol = loaded.symbol
inner join behind on symbols.feed = behind.feed and symbols.symbol = behind.symbol
