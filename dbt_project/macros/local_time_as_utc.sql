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
