with

numbered as (
    select
        feed,
        symbol,
        day,
        source,
        observed_at,
        dateadd('day', -row_number() over (partition by feed, symbol order by day), day) as island
    from {{ ref('stg_universe_members') }}
),

newest as (
    select
        feed,
        max(day) as day
    from {{ ref('stg_universe_members') }}
    group by feed
)

-- Over days in a row: of a day that was never requested nobody knows the members.
select
    numbered.feed,
    numbered.symbol,
    min(numbered.day) as valid_from,
    cast(dateadd('day', 1, max(numbered.day)) as date) as valid_to,
    max(numbered.day) = max(newest.day) as is_current,
    min_by(numbered.source, numbered.day) as source,
    max(numbered.observed_at) as observed_at
from numbered
inner join newest on numbered.feed = newest.feed
group by numbered.feed, numbered.symbol, numbered.island
