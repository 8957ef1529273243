{{
    config(
        materialized='incremental',
        unique_key='bar_date',
        cluster_by=['bar_date'] if target.name == 'snowflake' else none
    )
}}
{{ roll_up(seconds=900) }}
