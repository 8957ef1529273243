select * exclude (superseded_at)
from {{ ref('int_bar_versions') }}
qualify row_number() over (partition by feed, symbol, timeframe, bar_start order by {{ newest_first() }}) = 1
