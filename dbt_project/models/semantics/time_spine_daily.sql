select session_date as date_day
from {{ ref('dim_sessions') }}
where calendar = '24/7'
