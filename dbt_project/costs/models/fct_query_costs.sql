{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='usage_date',
        on_schema_change='fail',
        tmp_relation_type='transient' if target.name == 'embedded' else none,
        schema='MARTS',
        access='public',
        contract={'enforced': true}
    )
}}

with since as (
    {% if is_incremental() %}
    select max(usage_date) - {{ var('recomputed_days') }} as usage_date from {{ this }}
    {% else %}
    -- All that there is: a year.
    select '1970-01-01'::date as usage_date
    {% endif %}
),

used as (
    select
        usage_date,
        warehouse_name,
        component,
        feed,
        model,
        count(*) as queries,
        sum(seconds) as seconds,
        sum(credits) as credits
    from {{ ref('int_query_usage') }}
    where usage_date >= (select since.usage_date from since)
    group by usage_date, warehouse_name, component, feed, model
),

metered as (
    select
        convert_timezone('UTC', start_time)::date as usage_date,
        warehouse_name,
        sum(credits_used_compute) as credits
    from {{ source('account_usage', 'warehouse_metering_history') }}
    where convert_timezone('UTC', start_time)::date >= (select since.usage_date from since)
    group by convert_timezone('UTC', start_time)::date, warehouse_name
),

attributed as (
    select
        usage_date,
        warehouse_name,
        sum(credits) as credits
    from used
    where warehouse_name is not null
    group by usage_date, warehouse_name
),

-- With these the rows of a warehouse's day add up to what was metered, whatever is late.
idle as (
    select
        coalesce(metered.usage_date, attributed.usage_date) as usage_date,
        coalesce(metered.warehouse_name, attributed.warehouse_name) as warehouse_name,
        coalesce(metered.credits, 0) - coalesce(attributed.credits, 0) as credits
    from metered
    full outer join attributed
        on metered.usage_date = attributed.usage_date and metered.warehouse_name = attributed.warehouse_name
)

select
    usage_date,
    warehouse_name,
    component,
    feed,
    model,
    queries::number(38, 0) as queries,
    seconds::float as seconds,
    credits::float as credits
from used
union all
select
    usage_date,
    warehouse_name,
    'idle' as component,
    null::varchar as feed,
    null::varchar as model,
    0::number(38, 0) as queries,
    0::float as seconds,
    credits::float as credits
from idle
