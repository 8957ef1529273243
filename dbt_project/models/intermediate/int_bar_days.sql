{{ config(materialized='incremental') }}
{% set increment = incremental_window(staging_views()) %}
with

versions as (
    select
        feed,
        symbol,
        timeframe,
        bar_start,
        bar_date,
        observed_at,
        -- The vendor may leave some out; nothing of a bar is negative.
        {%- for column in bar_values() %}
        coalesce({{ column }}, -1) as {{ column }},
        {%- endfor %}
        loaded_at
    from {{ ref('int_bar_versions') }}
    where
        {{ in_increment(increment, 'bar_start', days_before=1, days_after=1) }}
        and {{ in_increment(increment, 'bar_date') }}
        and {{ before_high_watermark(increment) }}
),

days as (
    select
        feed,
        symbol,
        bar_date,
        min(observed_at) as first_observed_at,
        max(observed_at) as last_observed_at,
        count(*) as versions,
        max(loaded_at) as loaded_at
    from versions
    group by feed, symbol, bar_date
),

-- Only in a day that was observed at several times can a bar be corrected or late.
bars as (
    select
        versions.feed,
        versions.symbol,
        versions.timeframe,
        versions.bar_date,
        versions.bar_start,
        min(versions.observed_at) as observed_at,
        -- What came by stream and by REST is there twice, and corrected only where it differs.
        false
        {%- for column in bar_values() %}
        or min(versions.{{ column }}) <> max(versions.{{ column }})
        {%- endfor %} as is_corrected
    from versions
    inner join days
        on
            versions.feed = days.feed
            and versions.symbol = days.symbol
            and versions.bar_date = days.bar_date
            and days.first_observed_at < days.last_observed_at
    group by versions.feed, versions.symbol, versions.timeframe, versions.bar_date, versions.bar_start
),

in_order as (
    select
        *,
        min(observed_at) over (
            partition by feed, symbol, timeframe, bar_date
            order by bar_start
            rows between 1 following and unbounded following
        ) as later_bar_observed_at
    from bars
),

counts as (
    select
        feed,
        symbol,
        bar_date,
        count_if(is_corrected) as corrected_bars,
        count_if(observed_at > later_bar_observed_at) as late_bars
    from in_order
    group by feed, symbol, bar_date
)

select
    days.feed,
    days.symbol,
    days.bar_date,
    days.versions,
    days.first_observed_at,
    days.last_observed_at,
    coalesce(counts.corrected_bars, 0) as corrected_bars,
    coalesce(counts.late_bars, 0) as late_bars,
    days.loaded_at
from days
left join counts
    on days.feed = counts.feed and days.symbol = counts.symbol and days.bar_date = counts.bar_date
