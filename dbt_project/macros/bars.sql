{# The staging view of one feed: its raw table's columns, typed, with what the feed's calendar says of them. #}
{% macro stage_bars(feed) -%}
  {%- set attributes = var('feeds')[feed] -%}
  {%- set timezone = var('calendars')[attributes.calendar].timezone -%}
select
    '{{ feed }}' as feed,
    '{{ attributes.asset_class }}' as asset_class,
    '{{ attributes.calendar }}' as calendar,
    symbol,
    timeframe,
    cast(replace(replace(timeframe, 'Min', ''), 'Hour', '') as integer)
    * iff(timeframe like '%Hour', 3600, 60) as timeframe_seconds,
    bar_start,
    {% if timezone == 'UTC' -%}
    cast(bar_start as date) as bar_date,
    {%- else -%}
    cast(convert_timezone('UTC', '{{ timezone }}', bar_start) as date) as bar_date,
    {%- endif %}
    open,
    high,
    low,
    close,
    volume,
    trade_count,
    vwap,
    source,
    observed_at,
    kafka_topic,
    kafka_partition,
    kafka_offset,
    load_id,
    loaded_at
from {{ source('raw', feed ~ '_bars') }}
{%- endmacro %}


{# Every feed's staging view, one under the other. #}
{% macro union_feeds() -%}
  {%- for feed in var('feeds') %}
select * from {{ ref('stg_' ~ feed ~ '__bars') }}
{%- if not loop.last %}
union all
{%- endif %}
  {%- endfor %}
{%- endmacro %}


{# Of several versions of a bar the one observed last is the truth; equal times are told apart by arrival. #}
{% macro newest_first() -%}
observed_at desc, loaded_at desc, kafka_offset desc
{%- endmacro %}


{#
  The bars as they were known at a point of time: a query to put in brackets.
  `known_at` is SQL for a UTC timestamp, e.g. "'2026-03-01 12:00'::timestamp_ntz".
#}
{% macro bars_as_of(known_at) -%}
select *
from {{ ref('int_bar_versions') }}
where observed_at <= {{ known_at }}
qualify row_number() over (partition by feed, symbol, timeframe, bar_start order by {{ newest_first() }}) = 1
{%- endmacro %}
