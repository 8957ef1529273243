with

days as (
    -- Rows enough for 90 years, of which the calendar takes its part.
    select
        dateadd(
            'day', row_number() over (order by seq4()) - 1, cast('{{ var("calendar_from") }}' as date)
        ) as session_date
    from table(generator(rowcount => 32872))
),

calendars as (
    {{ calendars() }}
),

local_days as (
    select
        calendars.calendar,
        calendars.timezone,
        days.session_date,
        exceptional.holiday_name,
        coalesce(exceptional.closes_at < calendars.closes_at, false) as is_early_close,
        iff(exceptional.session_date is null, calendars.opens_at, exceptional.opens_at) as opens_at,
        iff(exceptional.session_date is null, calendars.closes_at, exceptional.closes_at) as closes_at,
        (calendars.weekend or dayofweekiso(days.session_date) < 6) and (
            exceptional.session_date is null or exceptional.opens_at is not null
        ) as is_open
    from days
    cross join calendars
    left join {{ ref('exchange_days') }} as exceptional
        on calendars.calendar = exceptional.calendar and days.session_date = exceptional.session_date
    where days.session_date < '{{ var("calendar_to") }}'
)

select
    calendar,
    session_date,
    is_open,
    max(iff(is_open, session_date, null)) over (
        partition by calendar
        order by session_date
        rows between unbounded preceding and 1 preceding
    ) as previous_session_date,
    {{ local_time_as_utc('session_date', "'00:00'", 'timezone') }} as day_starts_at,
    {{ local_time_as_utc('session_date', "'24:00'", 'timezone') }} as day_ends_at,
    iff(is_open, {{ local_time_as_utc('session_date', 'opens_at', 'timezone') }}, null) as opens_at,
    iff(is_open, {{ local_time_as_utc('session_date', 'closes_at', 'timezone') }}, null) as closes_at,
    is_early_close,
    holiday_name
from local_days
