{# SQL: until when Alpaca was asked for each feed, symbol, timeframe and UTC day. #}
{% macro asked_days() -%}
select
        feed,
        symbol,
        {{ timeframe_seconds('timeframe') }} as timeframe_seconds,
        day,
        max(asked_until) as asked_until
    from {{ source('raw', 'asked_days') }}
    group by feed, symbol, timeframe, day
{%- endmacro %}
