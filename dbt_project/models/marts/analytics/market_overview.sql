{{ config(materialized='view') }}
with

origins as (
    {{ origins() }}
),

newest as (
    select * from {{ ref('int_market_state') }}
    -- Of a symbol that several feeds bring, the newest price.
    qualify row_number() over (partition by asset_class, symbol order by last_bar_end desc, feed asc) = 1
)

select
    newest.feed,
    newest.asset_class,
    newest.symbol,
    newest.last_price,
    newest.last_bar_end as last_price_at,
    datediff('second', newest.last_bar_end, sysdate()) as price_age_seconds,
    newest.last_price / newest.price_24h_ago - 1 as change_24h,
    newest.high_24h,
    newest.low_24h,
    newest.volume_24h,
    newest.mean_volume_30d,
    newest.volume_24h / nullif(newest.mean_volume_30d, 0) as volume_ratio,
    newest.realised_volatility_30d,
    iff(
        newest.realised_volatility_30d is null,
        null,
        rank() over (order by newest.realised_volatility_30d desc nulls last)
    ) as volatility_rank,
    coalesce(origins.origin, 'market') as origin
from newest
left join origins on newest.feed = origins.feed
