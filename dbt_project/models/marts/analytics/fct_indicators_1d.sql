{{ config(materialized='incremental') }}
{{ indicators(ref('int_bars_1d_adjusted'), bar='bar_date') }}
