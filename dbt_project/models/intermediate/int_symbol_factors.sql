with

periods as (
    select
        feed,
        symbol,
        listagg(coalesce(cast(valid_from as varchar), '') || ' ' || security_id, ',') within group (
            order by coalesce(valid_from, '0001-01-01')
        ) as securities
    from {{ ref('dim_symbol_history') }}
    group by feed, symbol
    -- One that never began has its ticker for a security all the time.
    having max(valid_from) is not null
),

securities as (
    select distinct
        feed,
        symbol,
        security_id
    from {{ ref('dim_symbol_history') }}
),

factors as (
    select
        securities.feed,
        securities.symbol,
        -- As decimals: the text of a float may leave out its last digits.
        listagg(
            factors.ex_date
            || ' ' || cast(factors.split_factor as number(38, 18))
            || ' ' || cast(factors.dividend_factor as number(38, 18)),
            ','
        ) within group (order by factors.ex_date, factors.symbol) as factors
    from securities
    inner join {{ ref('fct_adjustment_factors') }} as factors
        on securities.feed = factors.feed and securities.security_id = factors.security_id
    group by securities.feed, securities.symbol
)

select
    coalesce(periods.feed, factors.feed) as feed,
    coalesce(periods.symbol, factors.symbol) as symbol,
    md5(coalesce(periods.securities, '') || '|' || coalesce(factors.factors, '')) as factors_version
from periods
full outer join factors on periods.feed = factors.feed and periods.symbol = factors.symbol
