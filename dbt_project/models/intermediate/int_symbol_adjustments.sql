with

jumps as (
    select
        feed,
        symbol,
        listagg(bar_date || ' ' || verdict, ',') within group (order by bar_date) as verdicts
    from {{ ref('fct_price_jumps') }}
    group by feed, symbol
)

select
    coalesce(factors.feed, jumps.feed) as feed,
    coalesce(factors.symbol, jumps.symbol) as symbol,
    md5(coalesce(factors.factors_version, '') || coalesce(jumps.verdicts, '')) as factors_version
from {{ ref('int_symbol_factors') }} as factors
full outer join jumps on factors.feed = jumps.feed and factors.symbol = jumps.symbol
