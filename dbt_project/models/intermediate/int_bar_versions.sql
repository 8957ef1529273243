with

bars as (
    {{ union_feeds() }}
)

select
    *,
    row_number() over (
        partition by feed, symbol, timeframe, bar_start
        order by observed_at, loaded_at, kafka_offset
    ) as version_number,
    lead(observed_at) over (
        partition by feed, symbol, timeframe, bar_start
        order by observed_at, loaded_at, kafka_offset
    ) as superseded_at
from bars
