{{ config(materialized='view') }}
select
    load_id,
    feed,
    {{ feed_attribute('feed', 'asset_class') }} as asset_class,
    topic,
    run_id,
    messages,
    loaded,
    unchanged,
    rejected,
    gaps,
    note,
    started_at,
    finished_at,
    seconds
from {{ ref('stg_loads') }}
