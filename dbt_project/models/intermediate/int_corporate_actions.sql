with

actions as (
    {{ union_corporate_actions() }}
)

select
    *,
    row_number() over (
        partition by feed, action_id
        order by observed_at, loaded_at, kafka_offset
    ) as version_number,
    row_number() over (
        partition by feed, action_id
        order by observed_at desc, loaded_at desc, kafka_offset desc
    ) = 1 as is_newest
from actions
