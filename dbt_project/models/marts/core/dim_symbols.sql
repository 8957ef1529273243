with

tracked as (
    select
        feed,
        symbol,
        min(dbt_valid_from) as tracked_since,
        max(dbt_valid_from) as tracked_so_since
    from {{ ref('symbols_snapshot') }}
    group by feed, symbol
),

newest as (
    select *
    from {{ ref('dim_symbol_history') }}
    qualify row_number() over (partition by feed, symbol order by coalesce(valid_from, '0001-01-01') desc) = 1
)

select
    symbols.feed,
    symbols.asset_class,
    symbols.symbol,
    iff(symbols.asset_class = 'crypto', split_part(symbols.symbol, '/', 1), symbols.symbol) as base_asset,
    iff(symbols.asset_class = 'crypto', split_part(symbols.symbol, '/', 2), 'USD') as quote_currency,
    iff(symbols.asset_class = 'crypto', split_part(symbols.symbol, '/', 1), 'shares') as volume_unit,
    symbols.calendar,
    symbols.timeframe,
    symbols.first_bar_date,
    symbols.last_bar_date,
    symbols.days,
    newest.security_id,
    newest.cusip,
    newest.valid_from,
    newest.valid_to,
    newest.predecessor_symbol,
    newest.successor_symbol,
    newest.valid_to is null as is_active,
    tracked.tracked_since,
    tracked.tracked_so_since
from {{ ref('int_symbols') }} as symbols
inner join tracked on symbols.feed = tracked.feed and symbols.symbol = tracked.symbol
inner join newest on symbols.feed = newest.feed and symbols.symbol = newest.symbol
