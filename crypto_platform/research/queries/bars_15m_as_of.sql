-- dbt_project/analyses/bars_15m_as_of.sql, by make_research_queries.py: change it there.
with
bars as (
    select
        * exclude (bar_start),
        time_slice(bar_start, 15, 'minute') as bar_start,
        bar_start as base_start,
        iff(session_phase = 'regular', bar_start, null) as regular_start
    from (select
    bars.*,
    case
        when not sessions.is_open then 'closed'
        when bars.timeframe_seconds = 86400 then 'regular'
        when bars.bar_start < sessions.opens_at then 'pre_market'
        when bars.bar_start >= sessions.closes_at then 'after_hours'
        else 'regular'
    end as session_phase
from (select *
from MARTS.fct_bar_versions
where observed_at <= %(known_at)s and feed = %(feed)s and symbol in (select asked.value::varchar from table(flatten(input => parse_json(%(symbols)s))) as asked) and bar_start >= %(first)s and bar_start < %(after)s
qualify row_number() over (
        partition by feed, symbol, timeframe, bar_start
        order by observed_at desc, loaded_at desc, kafka_offset desc
    ) = 1) as bars
left join MARTS.dim_sessions as sessions
    on bars.calendar = sessions.calendar and bars.bar_date = sessions.session_date) as facts
    where
        timeframe_seconds <= 900
        and true
),
rolled_up as (
    select
        feed,
        asset_class,
        symbol,
        bar_start,
        bar_date,
        timeframe,
        timeframe_seconds,
        min_by(open, base_start) as open,
        max(high) as high,
        min(low) as low,
        max_by(close, base_start) as close,
        cast(sum(cast(volume as number(38, 9))) as float) as volume,
        sum(cast(trade_count as number(38, 0))) as trade_count,
        cast(sum(cast(iff(vwap > 0 and volume > 0, vwap * volume, null) as number(38, 12))) as float)
    / nullif(cast(sum(cast(iff(vwap > 0 and volume > 0, volume, null) as number(38, 9))) as float), 0) as vwap,
        count(regular_start) as actual_bars,
        max(loaded_at) as loaded_at
    from bars
    group by feed, asset_class, symbol, bar_start, bar_date, timeframe, timeframe_seconds
    -- A feed whose timeframe was changed has a day in both: the finer one counts.
    qualify row_number() over (partition by feed, symbol, bar_start order by timeframe_seconds) = 1
),
in_session as (
    select
        rolled_up.*,
        sessions.opens_at,
        sessions.closes_at,
        sessions.is_early_close,
        iff(
            sessions.is_open,
            datediff(
                'second',
                greatest(rolled_up.bar_start, sessions.opens_at),
                least(dateadd('second', 900, rolled_up.bar_start), sessions.closes_at)
            ),
            0
        ) as session_seconds
    from rolled_up
    left join MARTS.dim_sessions as sessions
        on %(calendar)s = sessions.calendar and rolled_up.bar_date = sessions.session_date
)
select
    feed,
    asset_class,
    symbol,
    bar_start,
    bar_date,
    timeframe as base_timeframe,
    open,
    high,
    low,
    close,
    volume,
    trade_count,
    vwap,
    cast(iff(
        timeframe_seconds = 86400,
        iff(session_seconds > 0, 1, 0),
        floor(greatest(session_seconds, 0) / timeframe_seconds)
    ) as integer) as expected_bars,
    actual_bars,
    actual_bars >= iff(
        timeframe_seconds = 86400,
        iff(session_seconds > 0, 1, 0),
        floor(greatest(session_seconds, 0) / timeframe_seconds)
    ) as is_complete,
    loaded_at
from in_session
