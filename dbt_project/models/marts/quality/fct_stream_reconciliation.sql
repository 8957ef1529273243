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
),

-- Days that something came by stream for: of the others there is nothing to compare.
streamed as (
    select distinct
        feed,
        symbol,
        bar_date
    from versions
    where not is_rest
),

asked as (
    {{ asked_days() }}
),

-- Of each bar what came last by stream and last by REST, and what the stream told first.
bars as (
    select
        versions.feed,
        versions.asset_class,
        versions.symbol,
        versions.timeframe,
        versions.bar_date,
        versions.bar_start,
        max(iff(versions.is_rest, 1, 0)) as by_rest,
        max(iff(versions.is_rest, 0, 1)) as by_stream,
        max(iff(versions.source = 'stream_update', 1, 0)) as is_updated,
        max_by(versions.is_rest, versions.observed_at) as rest_is_newest,
        datediff('millisecond', versions.bar_start, min(versions.stream_at)) / 1000
        - min(versions.timeframe_seconds) as lateness,
        {%- for column in bar_values() %}
        coalesce(max_by(versions.{{ column }}, versions.stream_at), -1) as stream_{{ column }},
        coalesce(max_by(versions.{{ column }}, versions.rest_at), -1) as rest_{{ column }},
        {%- endfor %}
        -- Asked for after its day was over, a bar is as REST has it for good.
        max(iff(asked.asked_until >= dateadd('day', 1, asked.day), 1, 0)) as is_settled,
        max(versions.loaded_at) as loaded_at
    from versions
    inner join streamed
        on
            versions.feed = streamed.feed
            and versions.symbol = streamed.symbol
            and versions.bar_date = streamed.bar_date
    left join asked
        on
            versions.feed = asked.feed
            and versions.symbol = asked.symbol
            and versions.timeframe_seconds = asked.timeframe_seconds
            and cast(versions.bar_start as date) = asked.day
    group by
        versions.feed, versions.asset_class, versions.symbol, versions.timeframe, versions.bar_date, versions.bar_start
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
)

select
    feed,
    asset_class,
    symbol,
    timeframe,
    bar_date,
    min(is_settled) = 1 as is_settled,
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
    count_if(by_rest = 1 and (rest_is_newest or not differs)) as reconciled_bars,
    cast(100 * count_if(by_rest = 1 and (rest_is_newest or not differs)) / count(*) as float) as percent_reconciled,
    max(loaded_at) as loaded_at
from compared
group by feed, asset_class, symbol, timeframe, bar_date
