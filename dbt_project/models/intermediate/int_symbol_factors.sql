select
    feed,
    symbol,
    -- As decimals: the text of a float may leave out its last digits.
    md5(
        listagg(
            ex_date
            || ' ' || cast(split_factor as number(38, 18))
            || ' ' || cast(dividend_factor as number(38, 18)),
            ','
        ) within group (order by ex_date)
    ) as factors_version
from {{ ref('fct_adjustment_factors') }}
group by feed, symbol
