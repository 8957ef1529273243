with

closes as (
    select
        bars.feed,
        bars.symbol,
        bars.bar_date,
        bars.close_total_return as close,
        bars.comparable_since,
        sessions.previous_session_date
    from {{ ref('fct_returns_1d') }} as bars
    inner join {{ ref('int_correlated_symbols') }} as chosen on bars.feed = chosen.feed and bars.symbol = chosen.symbol
    inner join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('bars.feed', 'calendar') }} = sessions.calendar and bars.bar_date = sessions.session_date
),

-- Days that both have: a stock and a coin meet on the stock's sessions.
pairs as (
    select
        first_closes.feed || ' ' || second_closes.feed as feed,
        first_closes.symbol || ' ' || second_closes.symbol as symbol,
        first_closes.feed as feed_a,
        first_closes.symbol as symbol_a,
        second_closes.feed as feed_b,
        second_closes.symbol as symbol_b,
        first_closes.bar_date,
        first_closes.close as close_a,
        second_closes.close as close_b,
        -- The session before that both calendars have: the earlier one, which a coin's is not.
        least(first_closes.previous_session_date, second_closes.previous_session_date) as previous_session_date,
        greatest(first_closes.comparable_since, second_closes.comparable_since) as comparable_since
    from closes as first_closes
    inner join closes as second_closes
        on
            first_closes.bar_date = second_closes.bar_date
            and (
                first_closes.feed < second_closes.feed
                or first_closes.feed = second_closes.feed and first_closes.symbol < second_closes.symbol
            )
),

-- From one common session to the next, so that a coin's Monday has its weekend as the stock's does.
changes as (
    select
        *,
        lag(bar_date) over (partition by feed, symbol order by bar_date) as previous_bar_date,
        ln(close_a / lag(close_a) over (partition by feed, symbol order by bar_date)) as return_a,
        ln(close_b / lag(close_b) over (partition by feed, symbol order by bar_date)) as return_b
    from pairs
),

returns as (
    select
        *,
        row_number() over (partition by feed, symbol order by bar_date) as bar_number
    from changes
    where previous_bar_date >= previous_session_date and previous_bar_date >= comparable_since
),

windows as (
    select
        *,
        {{ window_sum('return_a', 30, decimals=24) }} as sum_a,
        {{ window_sum('return_b', 30, decimals=24) }} as sum_b,
        {{ window_sum('return_a * return_a', 30, decimals=24) }} as sum_aa,
        {{ window_sum('return_b * return_b', 30, decimals=24) }} as sum_bb,
        {{ window_sum('return_a * return_b', 30, decimals=24) }} as sum_ab
    from returns
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
