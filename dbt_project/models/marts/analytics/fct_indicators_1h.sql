{{ config(materialized='incremental', unique_key='bar_date') }}
{{ indicators(ref('fct_bars_1h'), bar='bar_start') }}
