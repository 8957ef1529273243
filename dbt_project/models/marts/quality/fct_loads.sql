{{ config(materialized='view') }}
select
    load_id,
    feed,
    {{ feed_attribute('feed', 'asset_class') }} as asset_class,
    topic,
    run_id,
    message_count,
    loaded,
    unchanged,
    rejected,
    offset_gaps,
    note,
    origin,
    started_at,
    finished_at,
    duration_seconds
from {{ ref('stg_loads') }}
