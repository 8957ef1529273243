with

daily_bars as (
    {{ daily_bars_in_question() }}
),

days as (
    select distinct
        feed,
        symbol,
        bar_date
    from ({{ bars_as_of(':known_at', bars_in_question()) }}) as bars
),

day_factors as (
    {{ day_factors_as_of(':known_at', 'days', 'daily_bars', tickers_in_question()) }}
)

select * from day_factors
