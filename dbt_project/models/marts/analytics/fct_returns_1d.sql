{{ config(materialized='incremental') }}
{% set increment = increment_onwards(incremental_window(ref('fct_bars_1d_adjusted'), ref('int_symbol_adjustments'))) %}
with

closes as (
    select
        bars.feed,
        bars.asset_class,
        bars.symbol,
        bars.security_id,
        bars.bar_date,
        bars.close,
        bars.close_split,
        bars.close_total_return,
        bars.loaded_at,
        sessions.previous_session_date,
        jumps.verdict as jump,
        row_number() over (partition by bars.feed, bars.security_id order by bars.bar_date) as day_number,
        lag(bars.bar_date) over (partition by bars.feed, bars.security_id order by bars.bar_date) as previous_bar_date,
        lag(bars.close_split) over (
            partition by bars.feed, bars.security_id
            order by bars.bar_date
        ) as previous_close_split,
        lag(bars.close_total_return) over (
            partition by bars.feed, bars.security_id
            order by bars.bar_date
        ) as previous_close_total_return,
        -- Counted up by every jump that may be a split, before which prices are on another scale.
        sum(cast(iff(jumps.verdict = 'unknown', 1, 0) as integer)) over (
            partition by bars.feed, bars.security_id
            order by bars.bar_date
            rows between unbounded preceding and current row
        ) as scale_number,
        {{ days_a_year('bars.feed') }} as days_a_year
    from {{ ref('fct_bars_1d_adjusted') }} as bars
    left join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('bars.feed', 'calendar') }} = sessions.calendar and bars.bar_date = sessions.session_date
    left join {{ ref('fct_price_jumps') }} as jumps
        on bars.feed = jumps.feed and bars.symbol = jumps.symbol and bars.bar_date = jumps.bar_date
),

scaled as (
    select
        *,
        min(bar_date) over (partition by feed, symbol, security_id, scale_number) as comparable_since,
        max(close_total_return) over (
            partition by feed, security_id, scale_number
            order by bar_date
            rows between unbounded preceding and current row
        ) as peak_close,
        -- What lies several sessions back is another time's price, or another company's.
        previous_bar_date = previous_session_date and coalesce(jump, 'real') = 'real' as has_return
    from closes
),

changes as (
    select
        *,
        iff(has_return, close_split / previous_close_split, null) as price_change,
        iff(has_return, close_total_return / previous_close_total_return, null) as change,
        close_total_return / peak_close - 1 as drawdown,
        max(iff(close_total_return = peak_close, day_number, 0)) over (
            partition by feed, security_id
            order by day_number
            rows between unbounded preceding and current row
        ) as peak_day_number
    from scaled
),

returns as (
    select
        *,
        change - 1 as total_return,
        ln(change) as log_total_return,
        -- Of the returns, not of the days: a window holds as many returns, each of one session.
        count(change) over (
            partition by feed, security_id
            order by day_number
            rows between unbounded preceding and current row
        ) as bar_number
    from changes
),

windows as (
    select
        feed,
        security_id,
        bar_number,
        {{ window_deviation('log_total_return', 7, series='security_id') }} as log_deviation_7,
        {{ window_deviation('log_total_return', 30, series='security_id') }} as log_deviation_30,
        {{ window_mean('total_return', 30, series='security_id') }} as mean_return_30,
        {{ window_deviation('total_return', 30, series='security_id') }} as deviation_30
    from returns
    where change is not null
)

select
    returns.feed,
    returns.asset_class,
    returns.symbol,
    returns.security_id,
    returns.bar_date,
    returns.previous_bar_date,
    returns.close,
    returns.close_split,
    returns.close_total_return,
    returns.price_change - 1 as simple_return,
    ln(returns.price_change) as log_return,
    returns.total_return,
    returns.log_total_return,
    returns.jump,
    returns.comparable_since,
    windows.log_deviation_7 * sqrt(returns.days_a_year) as realised_volatility_7d,
    windows.log_deviation_30 * sqrt(returns.days_a_year) as realised_volatility_30d,
    returns.drawdown,
    returns.day_number - returns.peak_day_number as drawdown_days,
    (windows.mean_return_30 * returns.days_a_year - {{ var('risk_free_rate') }})
    / nullif(windows.deviation_30 * sqrt(returns.days_a_year), 0) as sharpe_30d,
    coalesce(versions.factors_version, '') as factors_version,
    returns.loaded_at
from returns
left join windows
    on
        returns.feed = windows.feed
        and returns.security_id = windows.security_id
        and returns.bar_number = windows.bar_number
left join {{ ref('int_symbol_adjustments') }} as versions
    on returns.feed = versions.feed and returns.symbol = versions.symbol
where {{ in_increment(increment, 'returns.bar_date') }}
