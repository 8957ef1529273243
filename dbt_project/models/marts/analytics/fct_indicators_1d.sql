{{ config(materialized='incremental', unique_key='bar_date') }}
{{ indicators(ref('fct_bars_1d'), bar='bar_date') }}
