{# Decimals of a logarithm: sums of decimals are the same in whatever order, and these keep a float's own precision. #}
{% macro log_decimal(factor) -%}
cast(ln({{ factor }}) as number(38, 24))
{%- endmacro %}


{# SQL: the product of a group's factors, where NULL is none. #}
{% macro product(factor) -%}
case count({{ factor }})
            when 0 then 1
            when 1 then max({{ factor }})
            else exp(cast(sum({{ log_decimal(factor) }}) as float))
        end
{%- endmacro %}


{#
  The factors of each symbol and ex-date from the actions that are applied, and those that the prices of its security
  before it are multiplied by, back from the newest day and through changes of name; the SQL of a whole model. `actions`: as
  `judged_corporate_actions` has them.
#}
{% macro adjustment_factors(actions) -%}
with

ex_dates as (
    select
        judged.feed,
        judged.symbol,
        {{ security_id('judged') }} as security_id,
        judged.ex_date,
        {{ product('judged.split_factor') }} as split_factor,
        {{ product('judged.dividend_factor') }} as dividend_factor,
        min(judged.first_known_at) as first_known_at,
        max(judged.known_at) as known_at,
        count(*) as actions
    from {{ actions }} as judged
    {{ join_security('judged', 'ex_date') }}
    where judged.status = 'applied'
    group by judged.feed, judged.symbol, {{ security_id('judged') }}, judged.ex_date
)

select
    feed,
    symbol,
    security_id,
    ex_date,
    cast(split_factor as float) as split_factor,
    cast(dividend_factor as float) as dividend_factor,
    {%- for factor in ('split_factor', 'dividend_factor') %}
    exp(
        cast(
            sum({{ log_decimal(factor) }}) over (
                partition by feed, security_id
                order by ex_date desc
                range between unbounded preceding and current row
            ) as float
        )
    ) as cumulative_{{ factor }},
    {%- endfor %}
    actions,
    first_known_at,
    known_at
from ex_dates
{%- endmacro %}


{#
  Days with the factors of their prices: those of the first ex-date after the day. `days`: rows of feed, symbol,
  security_id, bar_date and `columns`; `factors`: as `adjustment_factors` has them.
#}
{% macro factors_of_days(days, factors, columns=[]) -%}
with

timeline as (
    select
        feed,
        symbol,
        security_id,
        bar_date,
        1 as is_day,
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        null as split_factor,
        null as dividend_factor
    from {{ days }} as days
    union all
    select
        feed,
        symbol,
        security_id,
        ex_date as bar_date,
        0 as is_day,
        {%- for column in columns %}
        null as {{ column }},
        {%- endfor %}
        cumulative_split_factor as split_factor,
        cumulative_dividend_factor as dividend_factor
    from {{ factors }} as factors
)

select
    feed,
    symbol,
    security_id,
    bar_date,
    {%- for column in columns %}
    {{ column }},
    {%- endfor %}
    -- A day's own ex-date comes after it here, and does not change its prices.
    cast(coalesce({{ last_known('split_factor', 'bar_date desc, is_day desc', by='security_id') }}, 1) as float) as split_factor,
    cast(coalesce({{ last_known('dividend_factor', 'bar_date desc, is_day desc', by='security_id') }}, 1) as float) as dividend_factor
from timeline
qualify is_day = 1
{%- endmacro %}


{#
  Bars as they are and adjusted, the SQL of a whole view: `bar` is the column that orders them, bar_start or bar_date,
  `days` the factors of their days.
#}
{% macro adjusted_bars(bars, bar, days) -%}
select
    bars.feed,
    bars.asset_class,
    bars.symbol,
    coalesce(days.security_id, bars.symbol) as security_id,
    {%- if bar == 'bar_start' %}
    bars.timeframe,
    bars.timeframe_seconds,
    bars.bar_start,
    {%- endif %}
    bars.bar_date,
    {%- if bar == 'bar_start' %}
    bars.session_phase,
    {%- endif %}
    coalesce(days.split_factor, 1) as split_factor,
    coalesce(days.dividend_factor, 1) as dividend_factor,
    {%- for column in ('open', 'high', 'low', 'close', 'volume', 'vwap') %}
    bars.{{ column }},
    {%- endfor %}
    {%- for column in ('open', 'high', 'low', 'close', 'vwap') %}
    bars.{{ column }} * coalesce(days.split_factor, 1) as {{ column }}_split,
    {%- endfor %}
    bars.volume / coalesce(days.split_factor, 1) as volume_split,
    {%- for column in ('open', 'high', 'low', 'close') %}
    bars.{{ column }} * coalesce(days.split_factor, 1) * coalesce(days.dividend_factor, 1) as {{ column }}_total_return,
    {%- endfor %}
    coalesce(days.factors_version, '') as factors_version,
    bars.trade_count,
    {%- if bar == 'bar_start' %}
    bars.source,
    bars.observed_at,
    {%- else %}
    bars.actual_bars,
    {%- endif %}
    bars.loaded_at
from {{ bars }} as bars
left join {{ days }} as days
    on bars.feed = days.feed and bars.symbol = days.symbol and bars.bar_date = days.bar_date
{%- endmacro %}


{# Bars in whose own columns prices and volume are split-adjusted, for what is computed from bars of any kind. #}
{% macro split_adjusted_bars(bars) -%}
select
    bars.* exclude (open, high, low, close, volume, vwap),
    {%- for column in ('open', 'high', 'low', 'close', 'vwap') %}
    bars.{{ column }} * coalesce(days.split_factor, 1) as {{ column }},
    {%- endfor %}
    bars.volume / coalesce(days.split_factor, 1) as volume,
    coalesce(days.factors_version, '') as factors_version
from {{ bars }} as bars
left join {{ ref('fct_day_factors') }} as days
    on bars.feed = days.feed and bars.symbol = days.symbol and bars.bar_date = days.bar_date
{%- endmacro %}


{#
  `fct_bars_1d_adjusted` as it was known at a point of time, by the versions of bars and actions observed until then, and by
  what is known now of which security a ticker was: a query to put in brackets. `known_at` as in `bars_as_of`.
#}
{% macro bars_1d_adjusted_as_of(known_at) -%}
with

known_days as (
    {{ rolled_up_as_of(86400, known_at) }}
),

known_day_factors as (
    {{ day_factors_as_of(known_at, 'known_days', 'known_days') }}
)

{{ adjusted_bars('known_days', bar='bar_date', days='known_day_factors') }}
{%- endmacro %}


{#
  The factors of `days`, rows of feed, symbol and bar_date, as they were known at a point of time: a query to put in brackets.
  `daily_bars` are all raw ones known then of the securities in question; `known_at` as in `bars_as_of`, `among` as in
  `corporate_actions_as_of`.
#}
{% macro day_factors_as_of(known_at, days, daily_bars, among=none) -%}
with

known_actions as (
    {{ judged_corporate_actions('(' ~ corporate_actions_as_of(known_at, among) ~ ')', daily_bars) }}
),

known_factors as (
    {{ adjustment_factors('known_actions') }}
),

days_of_securities as (
    select
        known_days.feed,
        known_days.symbol,
        {{ security_id('known_days') }} as security_id,
        known_days.bar_date
    from {{ days }} as known_days
    {{ join_security('known_days', 'bar_date') }}
),

days_with_factors as (
    {{ factors_of_days('days_of_securities', 'known_factors') }}
)

select
    *,
    '' as factors_version
from days_with_factors
{%- endmacro %}
