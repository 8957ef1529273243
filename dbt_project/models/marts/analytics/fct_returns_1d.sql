{{ config(materialized='incremental') }}
{% set first_day = increment_start(increment(ref('fct_bars_1d'))) %}
with

closes as (
    select
        feed,
        asset_class,
        symbol,
        bar_date,
        close,
        loaded_at,
        row_number() over (partition by feed, symbol order by bar_date) as bar_number,
        lag(close) over (partition by feed, symbol order by bar_date) as previous_close,
        max(close) over (
            partition by feed, symbol
            order by bar_date
            rows between unbounded preceding and current row
        ) as peak_close,
        {{ days_a_year('feed') }} as days_a_year
    from {{ ref('fct_bars_1d') }}
),

returns as (
    select
        *,
        close / previous_close - 1 as simple_return,
        ln(close / previous_close) as log_return,
        close / peak_close - 1 as drawdown,
        max(iff(close = peak_close, bar_number, 0)) over (
            partition by feed, symbol
            order by bar_number
            rows between unbounded preceding and current row
        ) as peak_bar_number
    from closes
),

windows as (
    select
        *,
        {{ window_deviation('log_return', 7, first=2) }} as log_deviation_7,
        {{ window_deviation('log_return', 30, first=2) }} as log_deviation_30,
        {{ window_mean('simple_return', 30, first=2) }} as mean_return_30,
        {{ window_deviation('simple_return', 30, first=2) }} as deviation_30
    from returns
)

select
    feed,
    asset_class,
    symbol,
    bar_date,
    close,
    simple_return,
    log_return,
    log_deviation_7 * sqrt(days_a_year) as realised_volatility_7d,
    log_deviation_30 * sqrt(days_a_year) as realised_volatility_30d,
    drawdown,
    bar_number - peak_bar_number as drawdown_days,
    (mean_return_30 * days_a_year - {{ var('risk_free_rate') }})
    / nullif(deviation_30 * sqrt(days_a_year), 0) as sharpe_30d,
    loaded_at
from windows
{%- if first_day is not none %}
where bar_date >= '{{ first_day }}'
{%- endif %}
