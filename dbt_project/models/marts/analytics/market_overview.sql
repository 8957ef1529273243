{{ config(materialized='view') }}
select
    feed,
    asset_class,
    symbol,
    last_price,
    last_bar_end as last_price_at,
    datediff('second', last_bar_end, sysdate()) as price_age_seconds,
    last_price / price_24h_ago - 1 as change_24h,
    high_24h,
    low_24h,
    volume_24h,
    mean_volume_30d,
    volume_24h / nullif(mean_volume_30d, 0) as volume_ratio,
    realised_volatility_30d,
    iff(
        realised_volatility_30d is null, null, rank() over (order by realised_volatility_30d desc nulls last)
    ) as volatility_rank
from (
    select * from {{ ref('int_market_state') }}
    -- Of a symbol that several feeds bring, the newest price.
    qualify row_number() over (partition by asset_class, symbol order by last_bar_end desc, feed asc) = 1
) as newest
