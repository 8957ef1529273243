with

daily_bars as (
    {{ daily_bars_in_question() }}
),

known as (
    {{ corporate_actions_as_of(':known_at', tickers_in_question()) }}
),

actions as (
    {{ judged_corporate_actions('known', 'daily_bars') }}
)

select * from actions
