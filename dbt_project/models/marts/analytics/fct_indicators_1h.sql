{{ config(materialized='incremental') }}
{{ indicators(ref('fct_bars_1h'), bar='bar_start') }}
