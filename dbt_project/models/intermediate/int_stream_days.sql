{{ config(materialized='incremental') }}
{% set increment = incremental_window(staging_views()) %}
with

versions as (
    select
        *,
        source = 'rest' as is_rest,
        iff(source = 'rest', observed_at, null) as rest_at,
        iff(source = 'rest', null, observed_at) as stream_at
    from (
        {{ union_feeds() }}
    )
    where
        {{ in_increment(increment, 'bar_start', days_before=1, days_after=1) }}
        and {{ in_increment(increment, 'bar_date') }}
        and {{ before_high_watermark(increment) }}
),

days as (
    select
        feed,
        asset_class,
        symbol,
        timeframe,
        bar_date,
        count(stream_at) as streamed,
        min(bar_start) as first_bar_start,
        max(bar_start) as last_bar_start,
        max(loaded_at) as loaded_at
    from versions
    group by feed, asset_class, symbol, timeframe, bar_date
),

-- Of each bar what came last by stream and last by REST, and what the stream told first.
bars as (
    select
        versions.feed,
        versions.symbol,
        versions.timeframe,
        versions.bar_date,
        versions.bar_start,
        max(iff(versions.is_rest, 1, 0)) as by_rest,
        max(iff(versions.is_rest, 0, 1)) as by_stream,
        max(iff(versions.source = 'stream_update', 1, 0)) as is_updated,
        max_by(versions.is_rest, versions.observed_at) as rest_is_newest,
        {%- for column in bar_values() %}
        coalesce(max_by(versions.{{ column }}, versions.stream_at), -1) as stream_{{ column }},
        coalesce(max_by(versions.{{ column }}, versions.rest_at), -1) as rest_{{ column }},
        {%- endfor %}
        datediff('millisecond', versions.bar_start, min(versions.stream_at)) / 1000
        - min(versions.timeframe_seconds) as lateness
    from versions
    inner join days
        on
            versions.feed = days.feed
            and versions.symbol = days.symbol
            and versions.timeframe = days.timeframe
            and versions.bar_date = days.bar_date
            and days.streamed > 0
    group by versions.feed, versions.symbol, versions.timeframe, versions.bar_date, versions.bar_start
),

compared as (
    select
        *,
        by_stream = 1 and by_rest = 1 as is_both,
        false
        {%- for column in bar_values() %}
        or stream_{{ column }} <> rest_{{ column }}
        {%- endfor %} as differs,
        greatest(
            {%- for column in ['open', 'high', 'low', 'close'] %}
            abs(stream_{{ column }} / rest_{{ column }} - 1){{ ',' if not loop.last }}
            {%- endfor %}
        ) as difference
    from bars
),

counts as (
    select
        feed,
        symbol,
        timeframe,
        bar_date,
        count(*) as bars,
        cast(sum(by_stream) as integer) as stream_bars,
        cast(sum(by_rest) as integer) as rest_bars,
        count_if(by_rest = 0) as only_stream_bars,
        count_if(by_stream = 0) as only_rest_bars,
        count_if(is_both and differs) as differing_bars,
        cast(coalesce(max(iff(is_both, difference, null)), 0) as float) as largest_difference,
        cast(sum(is_updated) as integer) as updated_bars,
        cast(median(cast(lateness as float)) as float) as median_lateness_seconds,
        cast(percentile_cont(0.99) within group (order by lateness) as float) as p99_lateness_seconds,
        count_if(by_rest = 1 and (rest_is_newest or not differs)) as reconciled_bars
    from compared
    group by feed, symbol, timeframe, bar_date
)

-- Also the days without a stream, so that a build knows that it has looked at them.
select
    days.feed,
    days.asset_class,
    days.symbol,
    days.timeframe,
    days.bar_date,
    days.first_bar_start,
    days.last_bar_start,
    coalesce(counts.bars, 0) as bars,
    {%- for column in [
        'stream_bars', 'rest_bars', 'only_stream_bars', 'only_rest_bars', 'differing_bars', 'largest_difference',
        'updated_bars', 'median_lateness_seconds', 'p99_lateness_seconds', 'reconciled_bars',
    ] %}
    counts.{{ column }},
    {%- endfor %}
    days.loaded_at
from days
left join counts
    on
        days.feed = counts.feed
        and days.symbol = counts.symbol
        and days.timeframe = counts.timeframe
        and days.bar_date = counts.bar_date
