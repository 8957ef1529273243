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
    seconds
from {{ ref('stg_loads') }}
