{{ config(materialized='incremental') }}
{% set increment = incremental_window(ref('int_bar_days'), ref('int_symbol_factors')) %}
with

days as (
    select
        bar_days.feed,
        bar_days.symbol,
        {{ security_id('bar_days') }} as security_id,
        bar_days.bar_date,
        bar_days.loaded_at
    from {{ ref('int_bar_days') }} as bar_days
    {{ join_security('bar_days', 'bar_date') }}
    where {{ in_increment(increment, 'bar_days.bar_date') }}
),

factors as (
    {{ factors_of_days('days', ref('fct_adjustment_factors'), columns=['loaded_at']) | indent(4) }}
)

select
    factors.feed,
    factors.symbol,
    factors.security_id,
    factors.bar_date,
    factors.split_factor,
    factors.dividend_factor,
    coalesce(versions.factors_version, '') as factors_version,
    factors.loaded_at
from factors
left join {{ ref('int_symbol_factors') }} as versions
    on factors.feed = versions.feed and factors.symbol = versions.symbol
