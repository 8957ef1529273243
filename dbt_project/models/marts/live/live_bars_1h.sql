{{ config(materialized='view') }}
{{ roll_up(seconds=3600, bars=ref('live_bars')) }}
