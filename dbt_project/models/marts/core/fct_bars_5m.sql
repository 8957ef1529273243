{{
    config(
        materialized='incremental',
        cluster_by=['bar_date'] if target.name == 'snowflake' else none
    )
}}
{{ roll_up(seconds=300) }}
