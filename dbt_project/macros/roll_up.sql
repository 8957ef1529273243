{#
  Bars of `seconds` (a part of an hour, an hour, or a day of 86400) from the base bars of the feeds; the SQL of a whole
  incremental model.

  A day's open, high, low and close are those of the regular session, its volume, trade count and VWAP those of all hours,
  as in Alpaca's daily bars; shorter bars take in whatever lies in them. Expected and actual bars count base bars in
  regular hours: outside of them a stock has a bar only when it trades. A base bar of a day is the day as it is, and does
  not tell the volume of the day's parts. `bars` are others than the facts, with their columns.
#}
{% macro roll_up(seconds, bars=none) -%}
  {%- set base = bars or ref('fct_bars') -%}
  {%- set daily = seconds == 86400 -%}
  {%- set increment = none if bars else incremental_window(base) -%}
  {%- set bucket = 'bar_date' if daily else 'bar_start' -%}
with

bars as (
    select
        * {% if not daily %}exclude (bar_start),
        time_slice(bar_start, {{ seconds // 60 }}, 'minute') as bar_start{% endif %},
        bar_start as base_start,
        iff(session_phase = 'regular', bar_start, null) as regular_start
    from {{ base }}
    where
        timeframe_seconds <= {{ seconds }}
        and {{ in_increment(increment, 'bar_date') }}
),

rolled_up as (
    select
        feed,
        asset_class,
        symbol,
        {{ 'bar_start,' if not daily }}
        bar_date,
        timeframe,
        timeframe_seconds,
        {%- if daily %}
        min_by(open, regular_start) as open,
        max(iff(regular_start is null, null, high)) as high,
        min(iff(regular_start is null, null, low)) as low,
        max_by(close, regular_start) as close,
        {%- else %}
        min_by(open, base_start) as open,
        max(high) as high,
        min(low) as low,
        max_by(close, base_start) as close,
        {%- endif %}
        {{ exact_sum('volume') }} as volume,
        sum(cast(trade_count as number(38, 0))) as trade_count,
        {{ vwap_of_bars() }} as vwap,
        {%- if daily %}
        {%- for phase in ['pre_market', 'regular', 'after_hours'] %}
        iff(
            timeframe_seconds = 86400, null, {{ exact_sum("iff(session_phase = '" ~ phase ~ "', volume, 0)") }}
        ) as {{ phase }}_volume,
        {%- endfor %}
        {%- endif %}
        count(regular_start) as actual_bars,
        max(loaded_at) as loaded_at
    from bars
    group by feed, asset_class, symbol, {{ 'bar_start, ' if not daily }}bar_date, timeframe, timeframe_seconds
    {{ 'having count(regular_start) > 0' if daily }}
    -- A feed whose timeframe was changed has a day in both: the finer one counts.
    qualify row_number() over (partition by feed, symbol, {{ bucket }} order by timeframe_seconds) = 1
),

in_session as (
    select
        rolled_up.*,
        sessions.opens_at,
        sessions.closes_at,
        sessions.is_early_close,
        {#- greatest() and least() treat NULL differently in the two engines, so closed days are kept from them. #}
        iff(
            sessions.is_open,
            datediff(
                'second',
                {{ 'sessions.opens_at' if daily else 'greatest(rolled_up.bar_start, sessions.opens_at)' }},
                {{
                    'sessions.closes_at' if daily
                    else "least(dateadd('second', " ~ seconds ~ ", rolled_up.bar_start), sessions.closes_at)"
                }}
            ),
            0
        ) as session_seconds
    from rolled_up
    left join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('rolled_up.feed', 'calendar') }} = sessions.calendar and rolled_up.bar_date = sessions.session_date
)

select
    feed,
    asset_class,
    symbol,
    {{ 'bar_start,' if not daily }}
    bar_date,
    timeframe as base_timeframe,
    open,
    high,
    low,
    close,
    volume,
    trade_count,
    vwap,
    {%- if daily %}
    pre_market_volume,
    regular_volume,
    after_hours_volume,
    opens_at,
    closes_at,
    is_early_close,
    {%- endif %}
    cast({{ session_bars('session_seconds', 'timeframe_seconds') }} as integer) as expected_bars,
    actual_bars,
    actual_bars >= {{ session_bars('session_seconds', 'timeframe_seconds') }} as is_complete,
    loaded_at
from in_session
{%- endmacro %}
