{# SQL: until when Alpaca was asked for each feed, symbol, timeframe and UTC day. #}
{% macro requested_partitions() -%}
select
        feed,
        symbol,
        {{ timeframe_seconds('timeframe') }} as timeframe_seconds,
        day,
        max(complete_until) as complete_until
    from {{ source('raw', 'requested_partitions') }}
    where timeframe <> 'corporate_actions'
    group by feed, symbol, timeframe, day
{%- endmacro %}


{#
  SQL: the days, by process date, whose corporate actions Alpaca was asked for when they were over, and that the ledger has
  all of.
#}
{% macro days_with_known_actions() -%}
select
        feed,
        symbol,
        day
    from {{ source('raw', 'requested_partitions') }}
    where timeframe = 'corporate_actions'
    group by feed, symbol, day
    having max(complete_until) >= dateadd('day', 1, day)
{%- endmacro %}
