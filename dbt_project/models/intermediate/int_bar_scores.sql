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
    select
        *,
        row_number() over (order by feed, symbol, bar_start) as scored_id
    from hours
    where {{ in_increment(increment, 'bar_date', days_after=30) }}
),

-- The same hour of the 30 days before: some twenty rows of each, so their numbers are all that they carry.
history as (
    select
        scored.scored_id,
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

ranked as (
    {{ ranked('history', 'scored_id', ['log_return', 'volume']) }}
),

medians as (
    select
        scored_id,
        count(*) as history_bars,
        {{ median_of_ranked('log_return') }} as median_return,
        {{ median_of_ranked('volume') }} as median_volume
    from ranked
    group by scored_id
),

deviated as (
    select
        history.scored_id,
        abs(history.log_return - medians.median_return) as log_return,
        abs(history.volume - medians.median_volume) as volume
    from history
    inner join medians on history.scored_id = medians.scored_id
),

ranked_deviations as (
    {{ ranked('deviated', 'scored_id', ['log_return', 'volume']) }}
),

deviations as (
    select
        scored_id,
        {{ median_of_ranked('log_return') }} as return_deviation,
        {{ median_of_ranked('volume') }} as volume_deviation
    from ranked_deviations
    group by scored_id
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
left join medians on scored.scored_id = medians.scored_id
left join deviations on scored.scored_id = deviations.scored_id
