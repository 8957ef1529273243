{# SQL: until when Alpaca was asked for each feed, symbol, timeframe and UTC day. #}
{% macro requested_partitions() -%}
select
        feed,
        symbol,
        {{ timeframe_seconds('timeframe') }} as timeframe_seconds,
        partition_date as day,
        max(complete_until) as complete_until
    from {{ source('raw', 'requested_partitions') }}
    where timeframe <> 'corporate_actions'
    group by feed, symbol, timeframe, partition_date
{%- endmacro %}


{#
  SQL: the days, by process date, whose corporate actions Alpaca was asked for when they were over, and that the ledger has
  all of.
#}
{% macro days_with_known_actions() -%}
select
        feed,
        symbol,
        partition_date as day
    from {{ source('raw', 'requested_partitions') }}
    where timeframe = 'corporate_actions'
    group by feed, symbol, partition_date
    having max(complete_until) >= dateadd('day', 1, partition_date)
{%- endmacro %}
