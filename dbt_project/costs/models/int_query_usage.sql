{{ config(materialized='view', schema='INTERMEDIATE') }}

{# How dbt's comment at a statement's end begins: https://docs.getdbt.com/reference/project-configs/query-comment #}
{% set dbt_comment = '/* {"app": "dbt"' %}

with queries as (
    select
        query_id,
        convert_timezone('UTC', start_time)::date as usage_date,
        warehouse_name,
        execution_time / 1000 as seconds,
        query_tag,
        try_parse_json(query_tag) as parsed_tag,
        -- Behind the last such comment, since a statement may quote another.
        case
            when contains(query_text, '{{ dbt_comment }}') then split_part(query_text, '{{ dbt_comment }}', -1)
        end as dbt_comment
    from {{ source('account_usage', 'query_history') }}
),

components as (
    select
        query_id,
        usage_date,
        warehouse_name,
        seconds,
        case
            when parsed_tag:app::varchar = 'crypto_platform' then coalesce(parsed_tag:component::varchar, 'unspecified')
            -- Before 0.2.0 the tag was one of these words.
            when query_tag = 'crypto_platform dbt' then 'dbt'
            when query_tag = 'crypto_platform' then 'unspecified'
            else 'other'
        end as component,
        case when parsed_tag:app::varchar = 'crypto_platform' then parsed_tag:feed::varchar end as feed,
        split_part(split_part(dbt_comment, '"node_id": "', 2), '"', 1) as node_id
    from queries
)

select
    components.query_id,
    components.usage_date,
    components.warehouse_name,
    components.component,
    components.feed,
    case when components.component = 'dbt' then nullif(split_part(components.node_id, '.', 3), '') end as model,
    components.seconds,
    coalesce(attribution.credits_attributed_compute, 0) as credits
from components
left join {{ source('account_usage', 'query_attribution_history') }} as attribution
    on components.query_id = attribution.query_id
