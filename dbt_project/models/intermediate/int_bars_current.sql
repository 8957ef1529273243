select * exclude (superseded_at)
from {{ ref('int_bar_versions') }}
qualify {{ is_newest() }}
