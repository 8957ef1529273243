{#
  The staging view of one feed: its raw table's columns, with what the feed's calendar says of them. A feed that was
  never loaded has no table yet and counts as empty.
#}
{% macro stage_bars(feed) -%}
  {%- set columns = {
    "symbol": "varchar", "timeframe": "varchar", "bar_start": "timestamp_ntz", "open": "float", "high": "float",
    "low": "float", "close": "float", "volume": "float", "trade_count": "number(38, 0)", "vwap": "float",
    "source": "varchar", "observed_at": "timestamp_ntz", "kafka_topic": "varchar",
    "kafka_partition": "number(38, 0)", "kafka_offset": "number(38, 0)", "load_id": "varchar",
    "loaded_at": "timestamp_ntz",
  } -%}
  {%- set raw = source('raw', feed ~ '_bars') -%}
  {%- set attributes = var('feeds')[feed] -%}
  {%- set timezone = var('calendars')[attributes.calendar].timezone -%}
  {%- set loaded = not execute or load_relation(raw) is not none -%}
  {%- if not loaded %}{% do exceptions.warn(raw ~ " does not exist: feed " ~ feed ~ " counts as empty") %}{% endif -%}
select
    '{{ feed }}' as feed,
    '{{ attributes.asset_class }}' as asset_class,
    '{{ attributes.calendar }}' as calendar,
    cast(replace(replace(timeframe, 'Min', ''), 'Hour', '') as integer)
    * iff(timeframe like '%Hour', 3600, 60) as timeframe_seconds,
    {% if timezone == 'UTC' -%}
    cast(bar_start as date) as bar_date,
    {%- else -%}
    cast(convert_timezone('UTC', '{{ timezone }}', bar_start) as date) as bar_date,
    {%- endif %}
    {{ columns | join(',\n    ') }}
{%- if loaded %}
from {{ raw }}
{%- else %}
from (
    select
        {%- for column, type in columns.items() %}
        cast(null as {{ type }}) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    where false
) as nothing
{%- endif %}
{%- endmacro %}


{# Per feed its staging view. #}
{% macro staging_views() %}
  {% set views = {} %}
  {% for feed in var('feeds') %}{% do views.update({feed: ref('stg_' ~ feed ~ '__bars')}) %}{% endfor %}
  {{ return(views) }}
{% endmacro %}


{# Every feed's staging view, one under the other. #}
{% macro union_feeds() -%}
  {%- for feed in var('feeds') %}
select * from {{ ref('stg_' ~ feed ~ '__bars') }}
{%- if not loop.last %}
union all
{%- endif %}
  {%- endfor %}
{%- endmacro %}


{# SQL for qualify: the version that is the truth, the one observed last; equal times are told apart by arrival. #}
{% macro is_newest() -%}
row_number() over (
        partition by feed, symbol, timeframe, bar_start
        order by observed_at desc, loaded_at desc, kafka_offset desc
    ) = 1
{%- endmacro %}


{#
  The bars as they were known at a point of time: a query to put in brackets.
  `known_at` is SQL for a UTC timestamp, e.g. "'2026-03-01 12:00'::timestamp_ntz".
#}
{% macro bars_as_of(known_at) -%}
select *
from {{ ref('int_bar_versions') }}
where observed_at <= {{ known_at }}
qualify {{ is_newest() }}
{%- endmacro %}
