with

symbols as (
    select
        *,
        {{ timeframe_seconds('timeframe') }} as timeframe_seconds
    from {{ ref('int_symbols') }}
),

rejected as (
    select
        feed,
        symbol,
        bar_date,
        count(*) as rejected_bars
    from {{ ref('stg_rejected_bars') }}
    group by feed, symbol, bar_date
),

requested as (
    select distinct
        feed,
        symbol,
        day
    from ({{ requested_partitions() }}) as requested_partitions
),

universe_days as (
    select distinct
        feed,
        day
    from {{ ref('stg_universe_members') }}
),

days as (
    select
        symbols.feed,
        symbols.asset_class,
        symbols.symbol,
        sessions.session_date as bar_date,
        coalesce(
            bars.expected_bars,
            {{ session_bars("datediff('second', sessions.opens_at, sessions.closes_at)", 'symbols.timeframe_seconds') }}
        ) as expected_bars,
        coalesce(bars.actual_bars, 0) as actual_bars,
        coalesce(observed.corrected_bars, 0) as corrected_bars,
        coalesce(observed.late_bars, 0) as late_bars,
        coalesce(rejected.rejected_bars, 0) as rejected_bars,
        bars.bar_date is not null or requested.day is not null as is_requested
    from symbols
    inner join {{ ref('dim_sessions') }} as sessions
        on
            symbols.calendar = sessions.calendar
            and sessions.is_open
            and sessions.session_date between symbols.first_bar_date and symbols.last_bar_date
    -- Between two securities of one ticker there is nothing to have bars.
    inner join {{ ref('dim_symbol_history') }} as periods
        on
            symbols.feed = periods.feed
            and symbols.symbol = periods.symbol
            and {{ is_valid_on('periods', 'sessions.session_date') }}
    left join {{ ref('fct_bars_1d') }} as bars
        on
            symbols.feed = bars.feed
            and symbols.symbol = bars.symbol
            and sessions.session_date = bars.bar_date
    left join {{ ref('int_bar_days') }} as observed
        on
            symbols.feed = observed.feed
            and symbols.symbol = observed.symbol
            and sessions.session_date = observed.bar_date
    left join rejected
        on
            symbols.feed = rejected.feed
            and symbols.symbol = rejected.symbol
            and sessions.session_date = rejected.bar_date
    -- A session begins in the UTC day that was asked for.
    left join requested
        on
            symbols.feed = requested.feed
            and symbols.symbol = requested.symbol
            and cast(sessions.opens_at as date) = requested.day
    left join universe_days on symbols.feed = universe_days.feed and sessions.session_date = universe_days.day
    left join {{ ref('stg_universe_members') }} as members
        on
            symbols.feed = members.feed
            and symbols.symbol = members.symbol
            and sessions.session_date = members.day
    where universe_days.day is null or members.symbol is not null or bars.bar_date is not null
)

select
    feed,
    asset_class,
    symbol,
    bar_date,
    cast(expected_bars as integer) as expected_bars,
    actual_bars,
    cast(greatest(expected_bars - actual_bars, 0) as integer) as missing_bars,
    corrected_bars,
    late_bars,
    rejected_bars,
    cast(least(100 * actual_bars / expected_bars, 100) as float) as percent_complete,
    is_requested
from days
