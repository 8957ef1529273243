{{ config(materialized='incremental') }}
{% set increment = incremental_window(ref('fct_bars')) %}
with

bars as (
    select
        feed,
        asset_class,
        symbol,
        bar_date,
        timeframe_seconds,
        bar_start,
        source,
        observed_at,
        loaded_at
    from {{ ref('fct_bars') }}
    where {{ in_increment(increment, 'bar_date') }}
),

days as (
    select
        bars.feed,
        bars.asset_class,
        bars.symbol,
        bars.bar_date,
        bars.timeframe_seconds,
        min(bars.bar_start) as first_bar_start,
        max(bars.bar_start) as last_bar_start,
        count(*) as bars,
        -- What began after the last observation has not been looked for yet.
        max(bars.observed_at) as observed_until,
        max(iff(bars.source = 'rest', bars.observed_at, null)) as complete_until,
        max(bars.loaded_at) as loaded_at
    from bars
    group by bars.feed, bars.asset_class, bars.symbol, bars.bar_date, bars.timeframe_seconds
    qualify row_number() over (
        partition by bars.feed, bars.symbol, bars.bar_date
        order by bars.timeframe_seconds
    ) = 1
),

-- Bars that do not follow on the bar before them, in days with fewer bars than lie between the first and the last.
after_holes as (
    select
        bars.feed,
        bars.symbol,
        bars.bar_date,
        bars.timeframe_seconds,
        bars.bar_start,
        lag(bars.bar_start) over (
            partition by bars.feed, bars.symbol, bars.bar_date
            order by bars.bar_start
        ) as previous_start
    from bars
    inner join days
        on
            bars.feed = days.feed
            and bars.symbol = days.symbol
            and bars.bar_date = days.bar_date
            and bars.timeframe_seconds = days.timeframe_seconds
            and datediff('second', days.first_bar_start, days.last_bar_start)
            >= days.bars * days.timeframe_seconds
    qualify datediff('second', previous_start, bars.bar_start) > bars.timeframe_seconds
),

holes as (
    select
        days.*,
        dateadd('second', days.timeframe_seconds, after_holes.previous_start) as hole_start,
        after_holes.bar_start as hole_end
    from days
    inner join after_holes
        on
            days.feed = after_holes.feed
            and days.symbol = after_holes.symbol
            and days.bar_date = after_holes.bar_date
    union all
    select
        days.*,
        sessions.day_starts_at as hole_start,
        days.first_bar_start as hole_end
    from days
    inner join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('days.feed', 'calendar') }} = sessions.calendar and days.bar_date = sessions.session_date
    union all
    select
        days.*,
        dateadd('second', days.timeframe_seconds, days.last_bar_start) as hole_start,
        -- A bar that was not over at the last observation is not missing yet.
        least(sessions.day_ends_at, {{ start_of_bar('days.observed_until', 'days.timeframe_seconds') }}) as hole_end
    from days
    inner join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('days.feed', 'calendar') }} = sessions.calendar and days.bar_date = sessions.session_date
),

spans as (
    {%- for place, in_session in [(1, 'false'), (2, 'true'), (3, 'false')] %}
    select
        {{ place }} as place,
        {{ in_session }} as in_session
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

-- The part of a hole before, in and after the session; on a closed day all of it is before.
pieces as (
    select
        holes.*,
        spans.in_session,
        greatest(
            holes.hole_start,
            case spans.place
                when 1 then holes.hole_start
                when 2 then sessions.opens_at
                else sessions.closes_at
            end
        ) as gap_start,
        least(
            holes.hole_end,
            case spans.place
                when 1 then coalesce(sessions.opens_at, holes.hole_end)
                when 2 then sessions.closes_at
                else holes.hole_end
            end
        ) as gap_end
    from holes
    inner join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('holes.feed', 'calendar') }} = sessions.calendar and holes.bar_date = sessions.session_date
    inner join spans on sessions.is_open or spans.place = 1
)

select
    feed,
    asset_class,
    symbol,
    bar_date,
    timeframe_seconds,
    first_bar_start,
    complete_until,
    in_session,
    gap_start,
    gap_end,
    loaded_at
from pieces
where gap_start < gap_end
union all
-- A row of every day that was looked at, so that a day whose last gap was filled is replaced as well.
select
    feed,
    asset_class,
    symbol,
    bar_date,
    timeframe_seconds,
    first_bar_start,
    complete_until,
    null as in_session,
    null as gap_start,
    null as gap_end,
    loaded_at
from days
