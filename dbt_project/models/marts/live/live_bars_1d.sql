{{ config(materialized='view') }}
{{ roll_up(seconds=86400, bars=ref('live_bars')) }}
