{{ config(materialized='incremental', unique_key='bar_date') }}
{{ roll_up(seconds=300) }}
