{{ config(materialized='incremental') }}
{% set increment = incremental_window(ref('int_bars_1h_adjusted'), ref('int_symbol_factors')) %}
{% do replace_predicate(in_increment(increment, 'bar_date', days_after=30)) %}
with

hours as (
    select
        feed,
        asset_class,
        symbol,
        bar_start,
        bar_date,
        hour({{ to_exchange_time('feed', 'bar_start') }}) as hour_of_day,
        ln(close / open) as log_return,
        volume,
        factors_version,
        loaded_at
    from {{ ref('int_bars_1h_adjusted') }}
    where {{ in_increment(increment, 'bar_date', days_before=30, days_after=30) }}
),

scored as (
    select * from hours
    where {{ in_increment(increment, 'bar_date', days_after=30) }}
),

-- The same hour of the 30 days before.
history as (
    select
        scored.feed,
        scored.symbol,
        scored.bar_start,
        earlier.log_return,
        earlier.volume
    from scored
    inner join hours as earlier
        on
            scored.feed = earlier.feed
            and scored.symbol = earlier.symbol
            and scored.hour_of_day = earlier.hour_of_day
            and scored.bar_date > earlier.bar_date
            and scored.bar_date <= dateadd('day', 30, earlier.bar_date)
),

medians as (
    select
        feed,
        symbol,
        bar_start,
        count(*) as history_bars,
        median(cast(log_return as float)) as median_return,
        median(cast(volume as float)) as median_volume
    from history
    group by feed, symbol, bar_start
),

deviations as (
    select
        history.feed,
        history.symbol,
        history.bar_start,
        median(cast(abs(history.log_return - medians.median_return) as float)) as return_deviation,
        median(cast(abs(history.volume - medians.median_volume) as float)) as volume_deviation
    from history
    inner join medians
        on
            history.feed = medians.feed
            and history.symbol = medians.symbol
            and history.bar_start = medians.bar_start
    group by history.feed, history.symbol, history.bar_start
)

select
    scored.feed,
    scored.asset_class,
    scored.symbol,
    scored.bar_start,
    scored.bar_date,
    scored.log_return,
    scored.volume,
    medians.median_return,
    medians.median_volume,
    coalesce(medians.history_bars, 0) as history_bars,
    -- 1.4826 times the median absolute deviation is the deviation of a normal distribution.
    (scored.log_return - medians.median_return) / nullif(1.4826 * deviations.return_deviation, 0) as return_score,
    (scored.volume - medians.median_volume) / nullif(1.4826 * deviations.volume_deviation, 0) as volume_score,
    scored.factors_version,
    scored.loaded_at
from scored
left join medians
    on
        scored.feed = medians.feed
        and scored.symbol = medians.symbol
        and scored.bar_start = medians.bar_start
left join deviations
    on
        scored.feed = deviations.feed
        and scored.symbol = deviations.symbol
        and scored.bar_start = deviations.bar_start
