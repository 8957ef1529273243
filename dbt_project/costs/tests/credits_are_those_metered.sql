-- Per warehouse and day the mart's credits are the metered ones, of the days that the last build computed. The newest
-- may have been metered further since.
with metered as (
    select
        convert_timezone('UTC', start_time)::date as usage_date,
        warehouse_name,
        sum(credits_used_compute) as credits
    from {{ source('account_usage', 'warehouse_metering_history') }}
    group by convert_timezone('UTC', start_time)::date, warehouse_name
),

costs as (
    select
        usage_date,
        warehouse_name,
        sum(credits) as credits
    from {{ ref('fct_query_costs') }}
    group by usage_date, warehouse_name
),

newest as (
    select max(usage_date) as usage_date from costs
)

select
    metered.usage_date,
    metered.warehouse_name,
    metered.credits as credits_metered,
    costs.credits as credits_found
from metered
cross join newest
left join costs on metered.usage_date = costs.usage_date and metered.warehouse_name = costs.warehouse_name
where
    abs(metered.credits - coalesce(costs.credits, 0)) > 0.000001
    and metered.usage_date < newest.usage_date
    and metered.usage_date >= newest.usage_date - {{ var('recomputed_days') }}
