{{ config(materialized='incremental') }}
{% set first_day = increment_start(incremental_window(ref('fct_bars_1d'))) %}
with

closes as (
    select
        bars.feed,
        bars.asset_class,
        bars.symbol,
        bars.bar_date,
        bars.close,
        bars.loaded_at,
        sessions.previous_session_date,
        row_number() over (partition by bars.feed, bars.symbol order by bars.bar_date) as day_number,
        lag(bars.bar_date) over (partition by bars.feed, bars.symbol order by bars.bar_date) as previous_bar_date,
        lag(bars.close) over (partition by bars.feed, bars.symbol order by bars.bar_date) as previous_close,
        max(bars.close) over (
            partition by bars.feed, bars.symbol
            order by bars.bar_date
            rows between unbounded preceding and current row
        ) as peak_close,
        {{ days_a_year('bars.feed') }} as days_a_year
    from {{ ref('fct_bars_1d') }} as bars
    left join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('bars.feed', 'calendar') }} = sessions.calendar and bars.bar_date = sessions.session_date
),

changes as (
    select
        *,
        -- What lies several sessions back is another time's price, or another company's.
        iff(previous_bar_date = previous_session_date, close / previous_close, null) as change,
        close / peak_close - 1 as drawdown,
        max(iff(close = peak_close, day_number, 0)) over (
            partition by feed, symbol
            order by day_number
            rows between unbounded preceding and current row
        ) as peak_day_number
    from closes
),

returns as (
    select
        *,
        change - 1 as simple_return,
        ln(change) as log_return,
        -- Of the returns, not of the days: a window holds as many returns, each of one session.
        count(change) over (
            partition by feed, symbol
            order by day_number
            rows between unbounded preceding and current row
        ) as bar_number
    from changes
),

windows as (
    select
        feed,
        symbol,
        bar_number,
        {{ window_deviation('log_return', 7) }} as log_deviation_7,
        {{ window_deviation('log_return', 30) }} as log_deviation_30,
        {{ window_mean('simple_return', 30) }} as mean_return_30,
        {{ window_deviation('simple_return', 30) }} as deviation_30
    from returns
    where change is not null
)

select
    returns.feed,
    returns.asset_class,
    returns.symbol,
    returns.bar_date,
    returns.previous_bar_date,
    returns.close,
    returns.simple_return,
    returns.log_return,
    windows.log_deviation_7 * sqrt(returns.days_a_year) as realised_volatility_7d,
    windows.log_deviation_30 * sqrt(returns.days_a_year) as realised_volatility_30d,
    returns.drawdown,
    returns.day_number - returns.peak_day_number as drawdown_days,
    (windows.mean_return_30 * returns.days_a_year - {{ var('risk_free_rate') }})
    / nullif(windows.deviation_30 * sqrt(returns.days_a_year), 0) as sharpe_30d,
    returns.loaded_at
from returns
left join windows
    on
        returns.feed = windows.feed
        and returns.symbol = windows.symbol
        and returns.bar_number = windows.bar_number
{%- if first_day is not none %}
where returns.bar_date >= '{{ first_day }}'
{%- endif %}
