{#
  The staging view of one feed: its raw table's columns, with what the feed's calendar says of them. A feed that was
  never loaded has no table yet and counts as empty. A version from before the load had a rule that it breaks is no bar:
  left out here, it is in no model, and the version before it is the newest.
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
  {%- if not loaded %}{% do exceptions.warn(raw ~ " does not exist yet and counts as empty") %}{% endif -%}
select
    '{{ feed }}' as feed,
    '{{ attributes.asset_class }}' as asset_class,
    '{{ attributes.calendar }}' as calendar,
    {{ timeframe_seconds('timeframe') }} as timeframe_seconds,
    {% if timezone == 'UTC' -%}
    cast(bar_start as date) as bar_date,
    {%- else -%}
    cast(convert_timezone('UTC', '{{ timezone }}', bar_start) as date) as bar_date,
    {%- endif %}
    {%- for column in columns %}
    {{ 'iff(vwap = 0 and volume = 0, null, vwap) as vwap' if column == 'vwap' else column }}{{ ',' if not loop.last }}
    {%- endfor %}
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
where {{ broken_rule(price_rules(), volume_rules(), vwap_rules()) }} is null
{%- endmacro %}


{# SQL: the reason of the first rule that a bar breaks, of the given {reason: SQL}; NULL for a bar that keeps them all. #}
{% macro broken_rule() -%}
case
        {%- for rules in varargs %}
        {%- for reason, broken in rules.items() %}
        when {{ broken }} then '{{ reason }}'
        {%- endfor %}
        {%- endfor %}
    end
{%- endmacro %}


{# SQL: the seconds of a timeframe in Alpaca's notation, 1Min, 15Min, 1Hour or 1Day; NULL of what is none. #}
{% macro timeframe_seconds(timeframe) -%}
case
        when {{ timeframe }} = '1Day' then 86400
        else
            try_cast(replace(replace({{ timeframe }}, 'Min', ''), 'Hour', '') as integer)
            * iff({{ timeframe }} like '%Hour', 3600, 60)
    end
{%- endmacro %}


{# SQL: how many bars of a timeframe the hours of a session have room for; of days there is one each. #}
{% macro session_bars(session_seconds, timeframe_seconds) -%}
iff(
        {{ timeframe_seconds }} = 86400,
        iff({{ session_seconds }} > 0, 1, 0),
        floor(greatest({{ session_seconds }}, 0) / {{ timeframe_seconds }})
    )
{%- endmacro %}


{# SQL: the start of the bar that a moment lies in; bars are counted from the epoch, as Alpaca's are for 1Min to 1Hour. #}
{% macro start_of_bar(moment, timeframe_seconds) -%}
dateadd(
            'second',
            -mod(datediff('second', '1970-01-01'::timestamp_ntz, {{ moment }}), {{ timeframe_seconds }}),
            date_trunc('second', {{ moment }})
        )
{%- endmacro %}


{#
  SQL: the part of the trading day that a bar of `bars` lies in, its row of dim_sessions joined as `sessions`. A day's bar,
  which begins at midnight, is of its session.
#}
{% macro session_phase(bars, sessions) -%}
case
        when not {{ sessions }}.is_open then 'closed'
        when {{ bars }}.timeframe_seconds = 86400 then 'regular'
        when {{ bars }}.bar_start < {{ sessions }}.opens_at then 'pre_market'
        when {{ bars }}.bar_start >= {{ sessions }}.closes_at then 'after_hours'
        else 'regular'
    end
{%- endmacro %}


{# A bar's columns that a correction may change. #}
{% macro bar_values() %}
  {{ return(['open', 'high', 'low', 'close', 'volume', 'trade_count', 'vwap']) }}
{% endmacro %}


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
  `known_at` is SQL for a UTC timestamp, e.g. "'2026-03-01 12:00'::timestamp_ntz"; `among` a condition that spares the
  engine other bars, of the columns by which versions are those of one bar, or of bar_date.
#}
{% macro bars_as_of(known_at, among=none) -%}
select *
from {{ ref('fct_bar_versions') }}
where observed_at <= {{ known_at }}{{ ' and ' ~ among if among }}
qualify {{ is_newest() }}
{%- endmacro %}


{# The same with the part of the session that each bar lies in, as `fct_bars` has it. #}
{% macro facts_as_of(known_at, among=none) -%}
select
    bars.*,
    {{ session_phase('bars', 'sessions') }} as session_phase
from ({{ bars_as_of(known_at, among) }}) as bars
left join {{ ref('dim_sessions') }} as sessions
    on bars.calendar = sessions.calendar and bars.bar_date = sessions.session_date
{%- endmacro %}


{# Bars of `seconds`, as `fct_bars_1h` and the others have them, as they were known at a point of time. #}
{% macro rolled_up_as_of(seconds, known_at, among=none) -%}
{{ roll_up(seconds, bars='(' ~ facts_as_of(known_at, among) ~ ') as facts') }}
{%- endmacro %}


{#
  A raw table as it is, or without rows where nothing was ever loaded: `columns` has the type of each column by name.
#}
{% macro raw_table(name, columns) -%}
  {%- set raw = source('raw', name) -%}
  {%- if not execute or load_relation(raw) is not none -%}
    select * from {{ raw }}
  {%- else -%}
    select
        {%- for column, type in columns.items() %}
        cast(null as {{ type }}) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    where false
  {%- endif -%}
{%- endmacro %}


{# The staging view of one stock feed's records of a kind: the raw table's columns, without rows where none were loaded. #}
{% macro stage_records(feed, kind, columns) -%}
with

records as (
    {{ raw_table(feed ~ '_' ~ kind, columns) }}
)

select
    '{{ feed }}' as feed,
    {%- for column in columns %}
    {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from records
{%- endmacro %}


{# The staging view of the loads: a row each, with what it read and what became of it. #}
{% macro stage_loads() -%}
with

loads as (
    {{ raw_table('loads', {
        "load_id": "varchar", "feed": "varchar", "topic": "varchar", "topic_id": "varchar", "run_id": "varchar",
        "start_offsets": "varchar", "end_offsets": "varchar", "message_count": "number(38, 0)",
        "loaded": "number(38, 0)", "unchanged": "number(38, 0)", "rejected": "number(38, 0)",
        "offset_gaps": "number(38, 0)", "note": "varchar", "origin": "varchar", "started_at": "timestamp_ntz", "finished_at": "timestamp_ntz",
    }) }}
)

select
    * exclude (origin),
    coalesce(origin, 'market') as origin,
    cast(datediff('millisecond', started_at, finished_at) / 1000.0 as float) as duration_seconds
from loads
{%- endmacro %}


{# SQL: what the newest bars of each feed are, by its last load: the market's, recorded or simulated ones. #}
{% macro origins() -%}
select
        feed,
        max_by(origin, finished_at) as origin
    from {{ ref('stg_loads') }}
    where message_count > 0
    group by feed
{%- endmacro %}


{# The staging view of the rejected messages, read as far as they can be. #}
{% macro stage_rejected_bars() -%}
with

messages as (
    {{ raw_table('rejected_bars', {
        "feed": "varchar", "reason": "varchar", "kafka_topic": "varchar", "kafka_partition": "number(38, 0)",
        "kafka_offset": "number(38, 0)", "raw_key": "binary", "raw_value": "binary", "load_id": "varchar",
        "rejected_at": "timestamp_ntz",
    }) }}
),

texts as (
    select
        *,
        {{ text_of('raw_key') }} as symbol,
        try_cast(
            regexp_substr({{ text_of('raw_value') }}, '"t":"([^"]+)"', 1, 1, 'e', 1) as timestamp_ntz
        ) as bar_start
    from messages
)

select
    feed,
    symbol,
    bar_start,
    -- A message that does not tell its bar counts for the day it was rejected on.
    cast({{ to_exchange_time('feed', 'coalesce(bar_start, rejected_at)') }} as date) as bar_date,
    reason,
    kafka_topic,
    kafka_partition,
    kafka_offset,
    load_id,
    rejected_at
from texts
{%- endmacro %}


{# SQL: bytes as text, whatever they are. The emulator writes a quote as \\x22 and has no function that forgives. #}
{% macro text_of(bytes) -%}
  {%- if target.name == 'embedded' -%}
replace(cast({{ bytes }} as varchar), '\\x22', '"')
  {%- else -%}
try_hex_decode_string(hex_encode({{ bytes }}))
  {%- endif -%}
{%- endmacro %}
