{{ config(materialized='view') }}
select
    load_id,
    feed,
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
    cast(datediff('millisecond', started_at, finished_at) / 1000.0 as float) as seconds
from {{ source('raw', 'loads') }}
