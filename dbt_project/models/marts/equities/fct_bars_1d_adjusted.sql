{{ config(materialized='view') }}
{{ adjusted_bars(ref('fct_bars_1d'), bar='bar_date', days=ref('fct_day_factors')) }}
