{#
  Which company each ticker was, from day to day; the SQL of a whole model. `actions`: as `corporate_actions_as_of` has
  them, `bars`: daily bars.

  A change of name ends the old ticker and begins the new one, of the same security. A merger, a removal or a redemption
  ends a ticker and its security. What trades under an ended ticker is another security, from its first bar on; so is what
  had a ticker before a change of name took it.
#}
{% macro symbol_history(actions, bars) -%}
  {%- set ends = "action_type in ('name_change', 'cash_merger', 'stock_merger', 'stock_and_cash_merger', 'worthless_removal', 'redemption')" -%}
  {%- set beginning, end = "cast('0001-01-01' as date)", "cast('9999-12-31' as date)" -%}
with recursive

actions as (
    select
        *,
        coalesce(ex_date, process_date) as day
    from {{ actions }} as known
),

ends as (
    select
        feed,
        symbol,
        day,
        action_type,
        new_symbol
    from actions
    -- A change of name may leave the ticker as it is.
    where {{ ends }} and not (action_type = 'name_change' and coalesce(new_symbol, symbol) = symbol)
),

events as (
    select
        feed,
        symbol,
        day,
        cast(null as varchar) as predecessor_symbol,
        action_type as end_reason,
        new_symbol as successor_symbol
    from ends
    union all
    select
        feed,
        new_symbol as symbol,
        day,
        symbol as predecessor_symbol,
        cast(null as varchar) as end_reason,
        cast(null as varchar) as successor_symbol
    from ends
    where action_type = 'name_change'
),

-- The days at which a ticker ends or begins, after one before all of them.
bounds as (
    select
        feed,
        symbol,
        day,
        max(predecessor_symbol) as predecessor_symbol,
        max(end_reason) as end_reason,
        max(successor_symbol) as successor_symbol
    from events
    group by feed, symbol, day
    union all
    select
        feed,
        symbol,
        {{ beginning }} as day,
        cast(null as varchar) as predecessor_symbol,
        cast(null as varchar) as end_reason,
        cast(null as varchar) as successor_symbol
    from (
        select
            feed,
            symbol
        from {{ bars }} as daily_bars
        union
        select
            feed,
            symbol
        from events
    ) as symbols
),

spans as (
    select
        feed,
        symbol,
        day as began,
        predecessor_symbol,
        lead(day) over (partition by feed, symbol order by day) as ended,
        lead(end_reason) over (partition by feed, symbol order by day) as end_reason,
        lead(successor_symbol) over (partition by feed, symbol order by day) as successor_symbol
    from bounds
),

traded as (
    select
        spans.feed,
        spans.symbol,
        spans.began,
        min(daily_bars.bar_date) as first_bar_date,
        max(daily_bars.bar_date) as last_bar_date
    from spans
    inner join {{ bars }} as daily_bars
        on
            spans.feed = daily_bars.feed
            and spans.symbol = daily_bars.symbol
            and daily_bars.bar_date >= spans.began
            and daily_bars.bar_date < coalesce(spans.ended, {{ end }})
    group by spans.feed, spans.symbol, spans.began
),

-- A ticker was in use where a change of name gave or took it, where it has bars, and before its first end.
periods as (
    select
        spans.*,
        traded.first_bar_date,
        traded.last_bar_date
    from spans
    left join traded
        on spans.feed = traded.feed and spans.symbol = traded.symbol and spans.began = traded.began
    where
        spans.predecessor_symbol is not null
        or traded.first_bar_date is not null
        or spans.end_reason = 'name_change'
        or (spans.began = {{ beginning }} and spans.end_reason is not null)
),

-- A security has the name of its first ticker, with the day from which on that was its own when another had it before.
securities as (
    select
        feed,
        symbol,
        began,
        ended,
        iff(began = {{ beginning }}, symbol, symbol || ':' || began) as security_id
    from periods
    where predecessor_symbol is null
    union all
    select
        renamed.feed,
        renamed.symbol,
        renamed.began,
        renamed.ended,
        securities.security_id
    from periods as renamed
    inner join securities
        on
            renamed.feed = securities.feed
            and renamed.predecessor_symbol = securities.symbol
            and renamed.began = securities.ended
),

cusips as (
    select
        feed,
        symbol,
        -- The old one is that of the days before.
        iff(new_cusip is not null or {{ ends }}, dateadd('day', -1, day), day) as day,
        cusip
    from actions
    where cusip is not null
    union all
    select
        feed,
        coalesce(new_symbol, symbol) as symbol,
        day,
        new_cusip as cusip
    from actions
    where new_cusip is not null
),

newest_cusips as (
    select
        periods.feed,
        periods.symbol,
        periods.began,
        cusips.cusip
    from periods
    inner join cusips
        on
            periods.feed = cusips.feed
            and periods.symbol = cusips.symbol
            and cusips.day >= periods.began
            and cusips.day < coalesce(periods.ended, {{ end }})
    qualify row_number() over (
        partition by periods.feed, periods.symbol, periods.began
        order by cusips.day desc, cusips.cusip desc
    ) = 1
)

select
    periods.feed,
    periods.symbol,
    case
        when periods.predecessor_symbol is not null then periods.began
        when periods.began > {{ beginning }} then coalesce(periods.first_bar_date, periods.began)
    end as valid_from,
    periods.ended as valid_to,
    securities.security_id,
    newest_cusips.cusip,
    periods.predecessor_symbol,
    periods.successor_symbol,
    periods.end_reason,
    periods.first_bar_date,
    periods.last_bar_date
from periods
inner join securities
    on periods.feed = securities.feed and periods.symbol = securities.symbol and periods.began = securities.began
left join newest_cusips
    on
        periods.feed = newest_cusips.feed
        and periods.symbol = newest_cusips.symbol
        and periods.began = newest_cusips.began
{%- endmacro %}


{# SQL: the ticker was in use on the day, as a row of `dim_symbol_history` says. #}
{% macro is_valid_on(periods, day) -%}
coalesce({{ day }} >= {{ periods }}.valid_from, true) and coalesce({{ day }} < {{ periods }}.valid_to, true)
{%- endmacro %}


{# SQL: the join of the security that each row's ticker was on its `day`; `security_id` is what it gives. #}
{% macro join_security(relation, day) -%}
left join {{ ref('dim_symbol_history') }} as periods
        on
            {{ relation }}.feed = periods.feed
            and {{ relation }}.symbol = periods.symbol
            and {{ is_valid_on('periods', relation ~ '.' ~ day) }}
{%- endmacro %}


{% macro security_id(relation) -%}
coalesce(periods.security_id, {{ relation }}.symbol)
{%- endmacro %}
