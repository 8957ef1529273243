{{ config(materialized='incremental') }}
{{ indicators(ref('int_bars_1h_adjusted'), bar='bar_start') }}
