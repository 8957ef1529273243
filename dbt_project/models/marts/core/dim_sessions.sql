{%- set first = modules.datetime.date.fromisoformat(var('calendar_from')) %}
{%- set days = (modules.datetime.date.fromisoformat(var('calendar_to')) - first).days %}
with

days as (
    select dateadd('day', row_number() over (order by seq4()) - 1, cast('{{ first }}' as date)) as session_date
    from table(generator(rowcount => {{ days }}))
),

calendars as (
    {%- for name, calendar in var('calendars').items() %}
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
),

local_days as (
    select
        calendars.calendar,
        calendars.timezone,
        days.session_date,
        exceptional.name as holiday_name,
        coalesce(
            calendars.closes_at != exceptional.closes_at, false
        ) as is_early_close,
        iff(exceptional.session_date is null, calendars.opens_at, exceptional.opens_at) as opens_at,
        iff(exceptional.session_date is null, calendars.closes_at, exceptional.closes_at) as closes_at,
        (calendars.weekend or dayofweekiso(days.session_date) < 6) and (
            exceptional.session_date is null or exceptional.opens_at is not null
        ) as is_open
    from days
    cross join calendars
    left join {{ ref('exchange_days') }} as exceptional
        on calendars.calendar = exceptional.calendar and days.session_date = exceptional.session_date
)

select
    calendar,
    session_date,
    is_open,
    iff(is_open, {{ local_time_as_utc('session_date', 'opens_at', 'timezone') }}, null) as opens_at,
    iff(is_open, {{ local_time_as_utc('session_date', 'closes_at', 'timezone') }}, null) as closes_at,
    is_early_close,
    holiday_name
from local_days
