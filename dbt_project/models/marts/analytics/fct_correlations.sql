with

returns as (
    select
        feed,
        symbol,
        bar_date,
        log_return
    from {{ ref('fct_returns_1d') }}
    where log_return is not null
),

-- Days that both have: a stock and a coin meet on the stock's sessions.
pairs as (
    select
        first_returns.feed || ' ' || second_returns.feed as feed,
        first_returns.symbol || ' ' || second_returns.symbol as symbol,
        first_returns.feed as feed_a,
        first_returns.symbol as symbol_a,
        second_returns.feed as feed_b,
        second_returns.symbol as symbol_b,
        first_returns.bar_date,
        first_returns.log_return as return_a,
        second_returns.log_return as return_b,
        row_number() over (
            partition by first_returns.feed, first_returns.symbol, second_returns.feed, second_returns.symbol
            order by first_returns.bar_date
        ) as bar_number
    from returns as first_returns
    inner join returns as second_returns
        on
            first_returns.bar_date = second_returns.bar_date
            and (
                first_returns.feed < second_returns.feed
                or first_returns.feed = second_returns.feed and first_returns.symbol < second_returns.symbol
            )
),

windows as (
    select
        *,
        {{ window_sum('return_a', 30, decimals=24) }} as sum_a,
        {{ window_sum('return_b', 30, decimals=24) }} as sum_b,
        {{ window_sum('return_a * return_a', 30, decimals=24) }} as sum_aa,
        {{ window_sum('return_b * return_b', 30, decimals=24) }} as sum_bb,
        {{ window_sum('return_a * return_b', 30, decimals=24) }} as sum_ab
    from pairs
)

select
    feed_a,
    symbol_a,
    feed_b,
    symbol_b,
    bar_date,
    (30 * sum_ab - sum_a * sum_b)
    / nullif(
        sqrt(greatest(30 * sum_aa - sum_a * sum_a, 0)) * sqrt(greatest(30 * sum_bb - sum_b * sum_b, 0)), 0
    ) as correlation_30d
from windows
where bar_number >= 30
