{{ config(materialized='ephemeral') }}
select *
from {{ ref('fct_bars_1h') }}
where bar_date < {{ live_from() }}
union all
select *
from {{ ref('live_bars_1h') }}
