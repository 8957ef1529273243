with

newest as (
    select
        feed,
        symbol,
        max(bar_date) as bar_date
    from {{ ref('live_bars') }}
    group by feed, symbol
)

select
    actions.feed,
    actions.symbol,
    min(actions.ex_date) as ex_date,
    cast({{ product('actions.split_factor') }} as float) as split_factor
from {{ ref('fct_corporate_actions') }} as actions
inner join newest
    on actions.feed = newest.feed and actions.symbol = newest.symbol and actions.ex_date <= newest.bar_date
where actions.status = 'pending' and actions.split_factor is not null
group by actions.feed, actions.symbol
