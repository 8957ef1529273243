{{ config(materialized='incremental') }}
{{ roll_up(seconds=3600) }}
