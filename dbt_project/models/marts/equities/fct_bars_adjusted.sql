{{ config(materialized='view') }}
{{ adjusted_bars(ref('fct_bars'), bar='bar_start', days=ref('fct_day_factors')) }}
