{{ config(materialized='incremental') }}
{{ roll_up(seconds=900) }}
