{# SQL: until when Alpaca was asked for each feed, symbol, timeframe and UTC day. #}
{% macro requested_partitions() -%}
select
        feed,
        symbol,
        {{ timeframe_seconds('timeframe') }} as timeframe_seconds,
        day,
        max(complete_until) as complete_until
    from {{ source('raw', 'requested_partitions') }}
    group by feed, symbol, timeframe, day
{%- endmacro %}
