-- dbt_project/analyses/day_factors_as_of.sql, by make_research_queries.py: change it there.
with
daily_bars as (
    with
bars as (
    select
        * ,
        bar_start as base_start,
        iff(session_phase = 'regular', bar_start, null) as regular_start
    from (select
    bars.*,
    case
        when not sessions.is_open then 'closed'
        when bars.timeframe_seconds = 86400 then 'regular'
        when bars.bar_start < sessions.opens_at then 'pre_market'
        when bars.bar_start >= sessions.closes_at then 'after_hours'
        else 'regular'
    end as session_phase
from (select *
from MARTS.fct_bar_versions
where observed_at <= %(known_at)s and feed = %(feed)s and symbol in (
        select others.symbol
        from MARTS.dim_symbol_history as own
        inner join MARTS.dim_symbol_history as others
            on own.feed = others.feed and own.security_id = others.security_id
        where own.feed = %(feed)s and own.symbol in (select asked.value::varchar from table(flatten(input => parse_json(%(symbols)s))) as asked)
    )
qualify row_number() over (
        partition by feed, symbol, timeframe, bar_start
        order by observed_at desc, loaded_at desc, kafka_offset desc
    ) = 1) as bars
left join MARTS.dim_sessions as sessions
    on bars.calendar = sessions.calendar and bars.bar_date = sessions.session_date) as facts
    where
        timeframe_seconds <= 86400
        and true
),
rolled_up as (
    select
        feed,
        asset_class,
        symbol,
        bar_date,
        timeframe,
        timeframe_seconds,
        min_by(open, regular_start) as open,
        max(iff(regular_start is null, null, high)) as high,
        min(iff(regular_start is null, null, low)) as low,
        max_by(close, regular_start) as close,
        cast(sum(cast(volume as number(38, 9))) as float) as volume,
        sum(cast(trade_count as number(38, 0))) as trade_count,
        cast(sum(cast(iff(vwap > 0 and volume > 0, vwap * volume, null) as number(38, 12))) as float)
    / nullif(cast(sum(cast(iff(vwap > 0 and volume > 0, volume, null) as number(38, 9))) as float), 0) as vwap,
        iff(
            timeframe_seconds = 86400, null, cast(sum(cast(iff(session_phase = 'pre_market', volume, 0) as number(38, 9))) as float)
        ) as pre_market_volume,
        iff(
            timeframe_seconds = 86400, null, cast(sum(cast(iff(session_phase = 'regular', volume, 0) as number(38, 9))) as float)
        ) as regular_volume,
        iff(
            timeframe_seconds = 86400, null, cast(sum(cast(iff(session_phase = 'after_hours', volume, 0) as number(38, 9))) as float)
        ) as after_hours_volume,
        count(regular_start) as actual_bars,
        max(loaded_at) as loaded_at
    from bars
    group by feed, asset_class, symbol, bar_date, timeframe, timeframe_seconds
    having count(regular_start) > 0
    -- A feed whose timeframe was changed has a day in both: the finer one counts.
    qualify row_number() over (partition by feed, symbol, bar_date order by timeframe_seconds) = 1
),
in_session as (
    select
        rolled_up.*,
        sessions.opens_at,
        sessions.closes_at,
        sessions.is_early_close,
        iff(
            sessions.is_open,
            datediff(
                'second',
                sessions.opens_at,
                sessions.closes_at
            ),
            0
        ) as session_seconds
    from rolled_up
    left join MARTS.dim_sessions as sessions
        on %(calendar)s = sessions.calendar and rolled_up.bar_date = sessions.session_date
)
select
    feed,
    asset_class,
    symbol,
    bar_date,
    timeframe as base_timeframe,
    open,
    high,
    low,
    close,
    volume,
    trade_count,
    vwap,
    pre_market_volume,
    regular_volume,
    after_hours_volume,
    opens_at,
    closes_at,
    is_early_close,
    cast(iff(
        timeframe_seconds = 86400,
        iff(session_seconds > 0, 1, 0),
        floor(greatest(session_seconds, 0) / timeframe_seconds)
    ) as integer) as expected_bars,
    actual_bars,
    actual_bars >= iff(
        timeframe_seconds = 86400,
        iff(session_seconds > 0, 1, 0),
        floor(greatest(session_seconds, 0) / timeframe_seconds)
    ) as is_complete,
    loaded_at
from in_session
),
days as (
    select distinct
        feed,
        symbol,
        bar_date
    from (select *
from MARTS.fct_bar_versions
where observed_at <= %(known_at)s and feed = %(feed)s and symbol in (select asked.value::varchar from table(flatten(input => parse_json(%(symbols)s))) as asked) and bar_start >= %(first)s and bar_start < %(after)s
qualify row_number() over (
        partition by feed, symbol, timeframe, bar_start
        order by observed_at desc, loaded_at desc, kafka_offset desc
    ) = 1) as bars
),
day_factors as (
    with
known_actions as (
    with
actions as (
    select
        known.*,
        coalesce(sessions.is_open, false) as is_session,
        -- How many shares become of one; the rate of a cash dividend.
        case
            when known.action_type in ('forward_split', 'reverse_split', 'unit_split')
                then iff(known.old_rate > 0 and known.new_rate > 0, known.new_rate / known.old_rate, null)
            when known.action_type = 'stock_dividend' then iff(known.rate > 0, 1 + known.rate, null)
            when known.action_type = 'cash_dividend' then iff(known.rate > 0, known.rate, null)
        end as terms
    from (select
    * exclude (version_number, is_newest),
    min(observed_at) over (partition by feed, action_id) as first_known_at,
    count(*) over (partition by feed, action_id) as versions
from MARTS.fct_corporate_action_versions
where observed_at <= %(known_at)s and feed = %(feed)s and symbol in (
        select others.symbol
        from MARTS.dim_symbol_history as own
        inner join MARTS.dim_symbol_history as others
            on own.feed = others.feed and own.security_id = others.security_id
        where own.feed = %(feed)s and own.symbol in (select asked.value::varchar from table(flatten(input => parse_json(%(symbols)s))) as asked)
    )
qualify
    row_number() over (
        partition by feed, action_id
        order by observed_at desc, loaded_at desc, kafka_offset desc
    ) = 1) as known
    left join MARTS.dim_sessions as sessions
        on %(calendar)s = sessions.calendar and known.ex_date = sessions.session_date
),
-- A special dividend may have the day of a regular one.
told_apart as (
    select
        *,
        min(terms) over (partition by feed, symbol, action_type, ex_date, coalesce(is_special, false)) as lowest_terms,
        max(terms) over (partition by feed, symbol, action_type, ex_date, coalesce(is_special, false)) as highest_terms,
        row_number() over (partition by feed, symbol, action_type, ex_date, coalesce(is_special, false) order by first_known_at, action_id) as copy_number,
        sum(iff(action_type = 'cash_dividend' or terms is null, 0, ln(terms))) over (
            partition by feed, symbol, ex_date
        ) as log_terms_of_day
    from actions
),
ex_dates as (
    select distinct
        feed,
        symbol,
        ex_date
    from actions
    where ex_date is not null
),
-- Bars and ex-dates in one row, which costs a sort where a join of the two by their days would cost their product.
timeline as (
    select
        feed,
        symbol,
        ex_date as day,
        0 as is_bar,
        null as bar_date,
        null as open,
        null as close
    from ex_dates
    union all
    select
        feed,
        symbol,
        bar_date as day,
        1 as is_bar,
        bar_date,
        open,
        close
    from daily_bars as daily_bars
    where exists (
        select 1 from ex_dates
        where daily_bars.feed = ex_dates.feed and daily_bars.symbol = ex_dates.symbol
    )
),
neighbours as (
    select
        feed,
        symbol,
        day as ex_date,
        last_value(bar_date ignore nulls) over (
            partition by feed, symbol
            order by day, is_bar
            rows between unbounded preceding and current row
        ) as previous_bar_date,
        last_value(close ignore nulls) over (
            partition by feed, symbol
            order by day, is_bar
            rows between unbounded preceding and current row
        ) as previous_close,
        last_value(bar_date ignore nulls) over (
            partition by feed, symbol
            order by day desc, is_bar desc
            rows between unbounded preceding and current row
        ) as ex_bar_date,
        last_value(open ignore nulls) over (
            partition by feed, symbol
            order by day desc, is_bar desc
            rows between unbounded preceding and current row
        ) as ex_open
    from timeline
    qualify is_bar = 0
),
measured as (
    select
        told_apart.*,
        neighbours.previous_bar_date,
        -- An older one is another time's price, or another company's.
        iff(
            neighbours.previous_bar_date >= dateadd('day', -10, told_apart.ex_date), neighbours.previous_close, null
        ) as previous_close,
        neighbours.ex_bar_date,
        neighbours.ex_open
    from told_apart
    left join neighbours
        on
            told_apart.feed = neighbours.feed
            and told_apart.symbol = neighbours.symbol
            and told_apart.ex_date = neighbours.ex_date
),
judged as (
    select
        *,
        case
            when action_type in ('spin_off', 'rights_distribution', 'name_change', 'worthless_removal', 'cash_merger', 'stock_merger', 'stock_and_cash_merger', 'redemption', 'partial_call', 'reorganization') then 'no_factor'
            when ex_date is null then 'no_factor'
            when terms is null then 'no_factor'
            when not is_session then 'not_a_session'
            when lowest_terms < highest_terms then 'contradictory'
            when copy_number > 1 then 'duplicate'
            when ex_bar_date is null then 'pending'
            when action_type = 'cash_dividend' and previous_close is null then 'no_factor'
            when action_type = 'cash_dividend' and rate >= previous_close then 'no_factor'
            when action_type in ('forward_split', 'reverse_split', 'unit_split') and abs(ln(ex_open / previous_close) + ln(terms)) > abs(ln(ex_open / previous_close)) and abs(ln(ex_open / previous_close) - ln(terms)) < abs(ln(ex_open / previous_close)) and abs(ln(ex_open / previous_close) + log_terms_of_day) > abs(ln(ex_open / previous_close)) / 2 then 'doubtful'
            else 'applied'
        end as status,
        case
            when action_type = 'spin_off' then 'Alpaca gives how many shares are spun off, not what they are worth'
            when action_type = 'rights_distribution' then 'Alpaca gives how many rights are distributed, not what they are worth'
            when action_type = 'name_change' then 'a change of name leaves the prices as they are'
            when action_type = 'worthless_removal' then 'the symbol ends with it'
            when action_type = 'cash_merger' then 'the symbol ends with it'
            when action_type = 'stock_merger' then 'the symbol ends with it'
            when action_type = 'stock_and_cash_merger' then 'the symbol ends with it'
            when action_type = 'redemption' then 'the symbol ends with it'
            when action_type = 'partial_call' then 'the shares that are not called keep their price'
            when action_type = 'reorganization' then 'Alpaca gives no terms of a reorganization'
            when ex_date is null then 'Alpaca gives no ex-date'
            when terms is null then 'Alpaca gives no rates above 0'
            when not is_session then 'the ex-date is no session of the exchange'
            when lowest_terms < highest_terms then 'another action of this type, symbol and ex-date has other rates'
            when copy_number > 1 then 'another action of this type, symbol and ex-date has the same rates'
            when ex_bar_date is null then 'there is no bar on the ex-date or after it yet'
            when action_type = 'cash_dividend' and previous_close is null then 'there is no close in the ten days before the ex-date'
            when action_type = 'cash_dividend' and rate >= previous_close then 'the dividend is not below the close before it'
            when action_type in ('forward_split', 'reverse_split', 'unit_split') and abs(ln(ex_open / previous_close) + ln(terms)) > abs(ln(ex_open / previous_close)) and abs(ln(ex_open / previous_close) - ln(terms)) < abs(ln(ex_open / previous_close)) and abs(ln(ex_open / previous_close) + log_terms_of_day) > abs(ln(ex_open / previous_close)) / 2 then 'it widens the jump at its ex-date, and its reciprocal would narrow it'
        end as reason
    from measured
)
select
    feed,
    action_id,
    action_type,
    symbol,
    new_symbol,
    process_date,
    ex_date,
    record_date,
    payable_date,
    old_rate,
    new_rate,
    rate,
    is_special,
    is_foreign,
    cusip,
    new_cusip,
    status,
    reason,
    iff(status in ('applied', 'pending') and action_type <> 'cash_dividend', 1 / terms, null) as split_factor,
    iff(status = 'applied' and action_type = 'cash_dividend', 1 - rate / previous_close, null) as dividend_factor,
    previous_bar_date,
    previous_close,
    ex_bar_date,
    ex_open,
    first_known_at,
    observed_at as known_at,
    iff(versions > 1, observed_at, null) as amended_at,
    versions,
    loaded_at
from judged
),
known_factors as (
    with
ex_dates as (
    select
        judged.feed,
        judged.symbol,
        coalesce(periods.security_id, judged.symbol) as security_id,
        judged.ex_date,
        case count(judged.split_factor)
            when 0 then 1
            when 1 then max(judged.split_factor)
            else exp(cast(sum(cast(ln(judged.split_factor) as number(38, 24))) as float))
        end as split_factor,
        case count(judged.dividend_factor)
            when 0 then 1
            when 1 then max(judged.dividend_factor)
            else exp(cast(sum(cast(ln(judged.dividend_factor) as number(38, 24))) as float))
        end as dividend_factor,
        min(judged.first_known_at) as first_known_at,
        max(judged.known_at) as known_at,
        count(*) as actions
    from known_actions as judged
    left join MARTS.dim_symbol_history as periods
        on
            judged.feed = periods.feed
            and judged.symbol = periods.symbol
            and coalesce(judged.ex_date >= periods.valid_from, true) and coalesce(judged.ex_date < periods.valid_to, true)
    where judged.status = 'applied'
    group by judged.feed, judged.symbol, coalesce(periods.security_id, judged.symbol), judged.ex_date
)
select
    feed,
    symbol,
    security_id,
    ex_date,
    cast(split_factor as float) as split_factor,
    cast(dividend_factor as float) as dividend_factor,
    exp(
        cast(
            sum(cast(ln(split_factor) as number(38, 24))) over (
                partition by feed, security_id
                order by ex_date desc
                range between unbounded preceding and current row
            ) as float
        )
    ) as cumulative_split_factor,
    exp(
        cast(
            sum(cast(ln(dividend_factor) as number(38, 24))) over (
                partition by feed, security_id
                order by ex_date desc
                range between unbounded preceding and current row
            ) as float
        )
    ) as cumulative_dividend_factor,
    actions,
    first_known_at,
    known_at
from ex_dates
),
days_of_securities as (
    select
        known_days.feed,
        known_days.symbol,
        coalesce(periods.security_id, known_days.symbol) as security_id,
        known_days.bar_date
    from days as known_days
    left join MARTS.dim_symbol_history as periods
        on
            known_days.feed = periods.feed
            and known_days.symbol = periods.symbol
            and coalesce(known_days.bar_date >= periods.valid_from, true) and coalesce(known_days.bar_date < periods.valid_to, true)
),
days_with_factors as (
    with
timeline as (
    select
        feed,
        symbol,
        security_id,
        bar_date,
        1 as is_day,
        null as split_factor,
        null as dividend_factor
    from days_of_securities as days
    union all
    select
        feed,
        symbol,
        security_id,
        ex_date as bar_date,
        0 as is_day,
        cumulative_split_factor as split_factor,
        cumulative_dividend_factor as dividend_factor
    from known_factors as factors
)
select
    feed,
    symbol,
    security_id,
    bar_date,
    -- A day's own ex-date comes after it here, and does not change its prices.
    cast(coalesce(last_value(split_factor ignore nulls) over (
            partition by feed, security_id
            order by bar_date desc, is_day desc
            rows between unbounded preceding and current row
        ), 1) as float) as split_factor,
    cast(coalesce(last_value(dividend_factor ignore nulls) over (
            partition by feed, security_id
            order by bar_date desc, is_day desc
            rows between unbounded preceding and current row
        ), 1) as float) as dividend_factor
from timeline
qualify is_day = 1
)
select
    *,
    '' as factors_version
from days_with_factors
)
select * from day_factors
