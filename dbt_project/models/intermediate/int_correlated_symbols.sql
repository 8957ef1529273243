{% set named = var('correlated_symbols') %}
{% set count = named | length or var('correlated_symbols_count') %}
{% if count > 50 %}
    {{ exceptions.raise_compiler_error("correlated_symbols and correlated_symbols_count: the correlated symbols are at most 50") }}
{% endif %}
{% set chosen = "symbol in ('" ~ named | join("', '") ~ "')" if named else "dollar_volume > 0" %}
{% do warn_of_symbols_without_bars(named) %}
with

newest as (
    select max(bar_date) as bar_date
    from {{ ref('fct_bars_1d') }}
),

-- Of decimals, so that the order does not depend on how the bars came in.
sizes as (
    select
        bars.feed,
        bars.symbol,
        {{ exact_sum("iff(bars.bar_date > dateadd('year', -1, newest.bar_date), bars.close * bars.volume, 0)", 2) }}
            as dollar_volume
    from {{ ref('fct_bars_1d') }} as bars
    cross join newest
    group by bars.feed, bars.symbol
),

-- A symbol of two feeds is one asset: its own correlation would be 1.
assets as (
    select *
    from sizes
    qualify row_number() over (partition by symbol order by dollar_volume desc, feed asc) = 1
)

select
    feed,
    symbol,
    dollar_volume
from assets
where {{ chosen }}
qualify row_number() over (order by dollar_volume desc, symbol asc) <= {{ count }}
