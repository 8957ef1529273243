{# SQL of the trading calendars: a row each. #}
{% macro calendars() -%}
  {%- for name in var('calendars') %}
    {%- set calendar = var('calendars')[name] %}
select
    '{{ name }}' as calendar,
    '{{ calendar.timezone }}' as timezone,
    '{{ calendar.opens_at }}' as opens_at,
    '{{ calendar.closes_at }}' as closes_at,
    {{ calendar.weekend | lower }} as weekend
{%- if not loop.last %}
union all
{%- endif %}
  {%- endfor %}
{%- endmacro %}


{# SQL: an attribute of a feed, its `calendar` or `asset_class`, as dbt_project.yml has it. #}
{% macro feed_attribute(feed, attribute) -%}
case {{ feed }}{% for name in var('feeds') %} when '{{ name }}' then '{{ var('feeds')[name][attribute] }}'{% endfor %} end
{%- endmacro %}


{# SQL: the days a year has in a feed's calendar, by which volatility is annualised. #}
{% macro days_a_year(feed) -%}
case {{ feed }}
{%- for name in var('feeds') %} when '{{ name }}' then {{ var('calendars')[var('feeds')[name].calendar].days_a_year }}{% endfor %} end
{%- endmacro %}


{# SQL: a UTC timestamp in the local time of a feed's calendar. #}
{% macro to_exchange_time(feed, timestamp) -%}
case {{ feed }}
{%- for name in var('feeds') %} when '{{ name }}'
            then convert_timezone('UTC', '{{ var('calendars')[var('feeds')[name].calendar].timezone }}', {{ timestamp }})
{%- endfor %}
        end
{%- endmacro %}


{# SQL: the UTC timestamp of a wall-clock time 'HH:MM' (24:00 is the next midnight) on a date in a time zone. #}
{% macro local_time_as_utc(date, time, timezone) -%}
convert_timezone(
    {{ timezone }}, 'UTC',
    dateadd(
        'minute',
        cast(left({{ time }}, 2) as integer) * 60 + cast(right({{ time }}, 2) as integer),
        cast({{ date }} as timestamp_ntz)
    )
)
{%- endmacro %}
