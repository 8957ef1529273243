{{ config(materialized='incremental') }}
{{ indicators(ref('fct_bars_1d'), bar='bar_date') }}
