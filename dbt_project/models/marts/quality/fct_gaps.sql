with

symbols as (
    select
        feed,
        asset_class,
        symbol,
        min(first_bar_start) as first_bar_start,
        min(bar_date) as first_bar_date,
        max(bar_date) as last_bar_date
    from {{ ref('int_day_gaps') }}
    group by feed, asset_class, symbol
),

timeframes as (
    select
        feed,
        symbol,
        {{ timeframe_seconds('timeframe') }} as timeframe_seconds
    from {{ ref('int_symbols') }}
),

universe_days as (
    select distinct
        feed,
        day
    from {{ ref('stg_universe_members') }}
),

-- Days without a single bar; of a universe those on which the symbol was a member.
empty_days as (
    select
        symbols.feed,
        symbols.asset_class,
        symbols.symbol,
        timeframes.timeframe_seconds,
        sessions.is_open,
        sessions.day_starts_at,
        sessions.opens_at,
        sessions.closes_at,
        sessions.day_ends_at
    from symbols
    inner join {{ ref('dim_sessions') }} as sessions
        on
            {{ feed_attribute('symbols.feed', 'calendar') }} = sessions.calendar
            and symbols.first_bar_date < sessions.session_date
            and symbols.last_bar_date > sessions.session_date
    inner join {{ ref('dim_symbol_history') }} as periods
        on
            symbols.feed = periods.feed
            and symbols.symbol = periods.symbol
            and {{ is_valid_on('periods', 'sessions.session_date') }}
    inner join timeframes on symbols.feed = timeframes.feed and symbols.symbol = timeframes.symbol
    left join {{ ref('int_day_gaps') }} as days
        on
            symbols.feed = days.feed
            and symbols.symbol = days.symbol
            and sessions.session_date = days.bar_date
            and days.gap_start is null
    left join universe_days on symbols.feed = universe_days.feed and sessions.session_date = universe_days.day
    left join {{ ref('stg_universe_members') }} as members
        on
            symbols.feed = members.feed
            and symbols.symbol = members.symbol
            and sessions.session_date = members.day
    where days.bar_date is null and (universe_days.day is null or members.symbol is not null)
),

pieces as (
    select
        gaps.feed,
        gaps.asset_class,
        gaps.symbol,
        gaps.timeframe_seconds,
        gaps.gap_start as piece_start,
        gaps.gap_end as piece_end,
        gaps.in_session,
        gaps.complete_until,
        true as has_bars
    from {{ ref('int_day_gaps') }} as gaps
    inner join symbols on gaps.feed = symbols.feed and gaps.symbol = symbols.symbol
    where gaps.gap_start >= symbols.first_bar_start
    {%- for start, end, in_session, daily in [
        ('day_starts_at', 'coalesce(opens_at, day_ends_at)', 'false', 'false'),
        ('opens_at', 'closes_at', 'true', 'false'),
        ('closes_at', 'day_ends_at', 'false', 'false'),
        ('day_starts_at', 'day_ends_at', 'is_open', 'true'),
    ] %}
    union all
    select
        feed,
        asset_class,
        symbol,
        timeframe_seconds,
        {{ start }} as piece_start,
        {{ end }} as piece_end,
        {{ in_session }} as in_session,
        null as complete_until,
        false as has_bars
    from empty_days
    where {{ start }} < {{ end }} and (timeframe_seconds = 86400) = {{ daily }}
    {%- endfor %}
),

-- The whole bars of a halt: those in which nobody could trade.
halts as (
    select
        halts.feed,
        halts.symbol,
        dateadd(
            'second',
            timeframes.timeframe_seconds,
            {{ start_of_bar("dateadd('microsecond', -1, halts.halted_at)", 'timeframes.timeframe_seconds') }}
        ) as halt_start,
        coalesce(
            {{ start_of_bar('halts.resumed_at', 'timeframes.timeframe_seconds') }},
            cast('9999-12-31' as timestamp_ntz)
        ) as halt_end
    from {{ ref('fct_trading_halts') }} as halts
    inner join timeframes on halts.feed = timeframes.feed and halts.symbol = timeframes.symbol
    where halt_start < halt_end
),

in_halts as (
    select
        pieces.*,
        greatest(pieces.piece_start, halts.halt_start) as halted_from,
        least(pieces.piece_end, halts.halt_end) as halted_until
    from pieces
    inner join halts
        on
            pieces.feed = halts.feed
            and pieces.symbol = halts.symbol
            and pieces.piece_start < halts.halt_end
            and pieces.piece_end > halts.halt_start
    where pieces.in_session
),

-- Where a piece begins to be halted, or not to be.
cuts as (
    select
        *,
        piece_start as cut_at,
        false as is_halted
    from pieces
    {%- for cut_at, is_halted in [('halted_from', 'true'), ('halted_until', 'false')] %}
    union all
    select
        * exclude (halted_from, halted_until),
        {{ cut_at }} as cut_at,
        {{ is_halted }} as is_halted
    from in_halts
    {%- endfor %}
),

parts as (
    select
        * exclude (cut_at, piece_start, piece_end),
        cut_at as gap_start,
        coalesce(
            lead(cut_at) over (
                partition by feed, symbol, piece_start
                order by cut_at, is_halted
            ),
            piece_end
        ) as gap_end
    from cuts
),

asked as (
    {{ requested_partitions() }}
),

-- Here and not day by day: Alpaca may be asked for a day again and have no new bar of it.
classified as (
    select
        parts.feed,
        parts.asset_class,
        parts.symbol,
        parts.gap_start,
        parts.gap_end,
        -- A day lacks one bar, also one of 25 hours.
        iff(
            parts.timeframe_seconds = 86400,
            1,
            cast(ceil(datediff('second', parts.gap_start, parts.gap_end) / parts.timeframe_seconds) as integer)
        ) as missing_bars,
        case
            when not parts.in_session then 'market_closed'
            when parts.is_halted then 'halted'
            when parts.complete_until >= parts.gap_end or asked.complete_until >= parts.gap_end
                then iff(parts.asset_class = 'crypto', 'missing_at_vendor', 'no_trade')
            when not parts.has_bars and asked.day is null then 'never_requested'
            else 'not_ingested'
        end as gap_class
    from parts
    -- A session lies in one UTC day, and so does the start of a day's bar.
    left join asked
        on
            parts.feed = asked.feed
            and parts.symbol = asked.symbol
            and parts.timeframe_seconds = asked.timeframe_seconds
            and cast(parts.gap_start as date) = asked.day
    where parts.gap_start < parts.gap_end
),

starts as (
    select
        *,
        iff(
            gap_start = lag(gap_end) over (partition by feed, symbol order by gap_start)
            and gap_class = lag(gap_class) over (partition by feed, symbol order by gap_start),
            0,
            1
        ) as is_start
    from classified
),

runs as (
    select
        *,
        sum(cast(is_start as integer)) over (
            partition by feed, symbol
            order by gap_start
            rows between unbounded preceding and current row
        ) as run_number
    from starts
)

select
    feed,
    asset_class,
    symbol,
    min(gap_start) as gap_start,
    max(gap_end) as gap_end,
    sum(cast(missing_bars as integer)) as missing_bars,
    min(gap_class) as gap_class
from runs
group by feed, asset_class, symbol, run_number
