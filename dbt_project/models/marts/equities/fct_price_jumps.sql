with

closes as (
    select
        bars.feed,
        bars.asset_class,
        bars.symbol,
        bars.bar_date,
        bars.close,
        bars.close_split,
        bars.close_total_return,
        sessions.previous_session_date,
        lag(bars.bar_date) over (partition by bars.feed, bars.security_id order by bars.bar_date) as previous_bar_date,
        lag(bars.close) over (partition by bars.feed, bars.security_id order by bars.bar_date) as previous_close,
        lag(bars.close_split) over (
            partition by bars.feed, bars.security_id
            order by bars.bar_date
        ) as previous_close_split,
        lag(bars.close_total_return) over (
            partition by bars.feed, bars.security_id
            order by bars.bar_date
        ) as previous_close_total_return
    from {{ ref('fct_bars_1d_adjusted') }} as bars
    inner join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('bars.feed', 'calendar') }} = sessions.calendar and bars.bar_date = sessions.session_date
    where bars.asset_class = 'us_equity'
),

-- Actions that change prices by what nobody knows; the first bar from the ex-date on has them.
unresolved as (
    select
        feed,
        symbol,
        ex_bar_date as bar_date,
        min(action_type || ': ' || reason) as reason
    from {{ ref('fct_corporate_actions') }}
    where
        status in ('doubtful', 'contradictory', 'not_a_session', 'no_factor')
        and ({{ is_split() }} or action_type in ('stock_dividend', 'spin_off', 'rights_distribution'))
        and ex_bar_date is not null
    group by feed, symbol, ex_bar_date
),

known as (
    {{ days_with_known_actions() }}
)

select
    closes.feed,
    closes.asset_class,
    closes.symbol,
    closes.bar_date,
    closes.previous_bar_date,
    closes.close,
    closes.previous_close,
    ln(closes.close_split / closes.previous_close_split) as log_return,
    iff(unresolved.bar_date is null and known.day is not null, 'real', 'unknown') as verdict,
    case
        when unresolved.bar_date is not null then unresolved.reason
        when known.day is not null then 'the actions of the day are known, and none of them explains it'
        else 'the actions of the day are not known'
    end as reason
from closes
left join unresolved
    on
        closes.feed = unresolved.feed
        and closes.symbol = unresolved.symbol
        and closes.bar_date = unresolved.bar_date
left join known
    on closes.feed = known.feed and closes.symbol = known.symbol and closes.bar_date = known.day
where
    closes.previous_bar_date = closes.previous_session_date
    and (
        unresolved.bar_date is not null
        or (
            abs(ln(closes.close_split / closes.previous_close_split)) >= {{ var('split_return') }}
            -- A large dividend explains a fall.
            and abs(ln(closes.close_total_return / closes.previous_close_total_return)) >= {{ var('split_return') }}
        )
    )
