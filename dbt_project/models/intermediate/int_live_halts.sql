{{ config(materialized='ephemeral') }}
{%- set bars -%}
(
    select
        feed,
        symbol,
        bar_start
    from {{ ref('fct_bars') }}
    union all
    select
        feed,
        symbol,
        bar_start
    from {{ ref('live_bars') }}
)
{%- endset -%}
{{ trading_halts(bars) }}
