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
        gaps.gap_start,
        gaps.gap_end,
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
        {{ start }} as gap_start,
        {{ end }} as gap_end,
        {{ in_session }} as in_session,
        null as complete_until,
        false as has_bars
    from empty_days
    where {{ start }} < {{ end }} and (timeframe_seconds = 86400) = {{ daily }}
    {%- endfor %}
),

asked as (
    {{ requested_partitions() }}
),

-- Here and not day by day: Alpaca may be asked for a day again and have no new bar of it.
classified as (
    select
        pieces.feed,
        pieces.asset_class,
        pieces.symbol,
        pieces.gap_start,
        pieces.gap_end,
        -- A day lacks one bar, also one of 25 hours.
        iff(
            pieces.timeframe_seconds = 86400,
            1,
            cast(ceil(datediff('second', pieces.gap_start, pieces.gap_end) / pieces.timeframe_seconds) as integer)
        ) as missing_bars,
        case
            when not pieces.in_session then 'market_closed'
            when pieces.complete_until >= pieces.gap_end or asked.complete_until >= pieces.gap_end
                then iff(pieces.asset_class = 'crypto', 'missing_at_vendor', 'no_trade')
            when not pieces.has_bars and asked.day is null then 'never_requested'
            else 'not_ingested'
        end as gap_class
    from pieces
    -- A session lies in one UTC day, and so does the start of a day's bar.
    left join asked
        on
            pieces.feed = asked.feed
            and pieces.symbol = asked.symbol
            and pieces.timeframe_seconds = asked.timeframe_seconds
            and cast(pieces.gap_start as date) = asked.day
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
