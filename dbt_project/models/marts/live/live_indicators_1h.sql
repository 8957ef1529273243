{{ config(materialized='view') }}
{{ indicators(ref('int_live_hours'), bar='bar_start', since=live_from()) }}
