{{ config(materialized='view') }}
select
    feed,
    {{ feed_attribute('feed', 'asset_class') }} as asset_class,
    coalesce(symbol, 'unknown') as symbol,
    bar_date,
    reason,
    count(*) as message_count,
    max(rejected_at) as last_rejected_at
from {{ ref('stg_rejected_bars') }}
group by feed, coalesce(symbol, 'unknown'), bar_date, reason
