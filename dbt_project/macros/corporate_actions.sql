{# The staging view of one stock feed's actions; a feed whose actions were never loaded has none. #}
{% macro stage_corporate_actions(feed) -%}
  {%- set columns = {
    "action_id": "varchar", "action_type": "varchar", "symbol": "varchar", "process_date": "date", "ex_date": "date",
    "record_date": "date", "payable_date": "date", "old_rate": "float", "new_rate": "float", "rate": "float",
    "is_special": "boolean", "is_foreign": "boolean", "new_symbol": "varchar", "cusip": "varchar",
    "new_cusip": "varchar", "body": "varchar", "source": "varchar", "observed_at": "timestamp_ntz",
    "kafka_topic": "varchar", "kafka_partition": "number(38, 0)", "kafka_offset": "number(38, 0)",
    "load_id": "varchar", "loaded_at": "timestamp_ntz",
  } -%}
{{ stage_records(feed, 'corporate_actions', columns) }}
{%- endmacro %}


{# Every stock feed's actions, one under the other; coins have none. #}
{% macro union_corporate_actions() -%}
  {%- for feed in var('feeds') if var('feeds')[feed].asset_class != 'crypto' %}
select * from {{ ref('stg_' ~ feed ~ '__corporate_actions') }}
{%- if not loop.last %}
union all
{%- endif %}
  {%- endfor %}
{%- endmacro %}


{#
  The corporate actions as they were known at a point of time, the newest version of each with how many there were and
  since when the action was known: a query to put in brackets. `known_at` is SQL for a UTC timestamp; without it, all.
  `among` is a condition of feed and symbol that spares the engine the others.
#}
{% macro corporate_actions_as_of(known_at=none, among=none) -%}
select
    * exclude (version_number, is_newest),
    min(observed_at) over (partition by feed, action_id) as first_known_at,
    count(*) over (partition by feed, action_id) as versions
{%- if known_at is none %}
from {{ ref('int_corporate_actions') }}
{%- else %}
from {{ ref('fct_corporate_action_versions') }}
where observed_at <= {{ known_at }}{{ ' and ' ~ among if among }}
{%- endif %}
qualify
    row_number() over (
        partition by feed, action_id
        order by observed_at desc, loaded_at desc, kafka_offset desc
    ) = 1
{%- endmacro %}


{# SQL: the action splits shares, so that Alpaca's old_rate and new_rate may be the wrong way round. #}
{% macro is_split(action_type='action_type') -%}
{{ action_type }} in ('forward_split', 'reverse_split', 'unit_split')
{%- endmacro %}


{#
  Each action with what is done of it; the SQL of a whole model.

  `actions`: as `corporate_actions_as_of` has them, `bars`: raw daily bars. Old prices are multiplied by old_rate/new_rate
  for a split, by 1/(1 + rate) for a stock dividend, and, for total return alone, by 1 - D/C for a cash dividend D with C
  the last raw close before the ex-date (the rule of CRSP, of Lean's factor files and of Yahoo's adjusted close).

  A split is in doubt when it widens the jump from that close to the open of the ex-date, in logarithms, while its
  reciprocal would narrow it; unless all of that day together explain the jump. A dividend is not: it is small beside what
  prices do.
#}
{% macro judged_corporate_actions(actions, bars) -%}
  {%- set without_factor = {
    "spin_off": "Alpaca gives how many shares are spun off, not what they are worth",
    "rights_distribution": "Alpaca gives how many rights are distributed, not what they are worth",
    "name_change": "a change of name leaves the prices as they are",
    "worthless_removal": "the symbol ends with it",
    "cash_merger": "the symbol ends with it",
    "stock_merger": "the symbol ends with it",
    "stock_and_cash_merger": "the symbol ends with it",
    "redemption": "the symbol ends with it",
    "partial_call": "the shares that are not called keep their price",
    "reorganization": "Alpaca gives no terms of a reorganization",
  } -%}
  {%- set jump = 'ln(ex_open / previous_close)' -%}
  {#- In this order: the first that holds is what is said. -#}
  {%- set findings = [
    ('ex_date is null', 'no_factor', "Alpaca gives no ex-date"),
    ('terms is null', 'no_factor', "Alpaca gives no rates above 0"),
    ('not is_session', 'not_a_session', "the ex-date is no session of the exchange"),
    ('lowest_terms < highest_terms', 'contradictory',
     "another action of this type, symbol and ex-date has other rates"),
    ('copy_number > 1', 'duplicate', "another action of this type, symbol and ex-date has the same rates"),
    ('ex_bar_date is null', 'pending', "there is no bar on the ex-date or after it yet"),
    ("action_type = 'cash_dividend' and previous_close is null", 'no_factor',
     "there is no close in the ten days before the ex-date"),
    ("action_type = 'cash_dividend' and rate >= previous_close", 'no_factor',
     "the dividend is not below the close before it"),
    (is_split() ~ ' and abs(' ~ jump ~ ' + ln(terms)) > abs(' ~ jump ~ ') and abs(' ~ jump ~ ' - ln(terms)) < abs('
     ~ jump ~ ') and abs(' ~ jump ~ ' + log_terms_of_day) > abs(' ~ jump ~ ') / 2', 'doubtful', "it widens the jump at its ex-date, and its reciprocal would narrow it"),
  ] -%}
with

actions as (
    select
        known.*,
        coalesce(sessions.is_open, false) as is_session,
        -- How many shares become of one; the rate of a cash dividend.
        case
            when {{ is_split('known.action_type') }}
                then iff(known.old_rate > 0 and known.new_rate > 0, known.new_rate / known.old_rate, null)
            when known.action_type = 'stock_dividend' then iff(known.rate > 0, 1 + known.rate, null)
            when known.action_type = 'cash_dividend' then iff(known.rate > 0, known.rate, null)
        end as terms
    from {{ actions }} as known
    left join {{ ref('dim_sessions') }} as sessions
        on {{ feed_attribute('known.feed', 'calendar') }} = sessions.calendar and known.ex_date = sessions.session_date
),

-- A special dividend may have the day of a regular one.
told_apart as (
    select
        *,
        min(terms) over (partition by {{ same_action() }}) as lowest_terms,
        max(terms) over (partition by {{ same_action() }}) as highest_terms,
        row_number() over (partition by {{ same_action() }} order by first_known_at, action_id) as copy_number,
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
    from {{ bars }} as daily_bars
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
        {{ last_known('bar_date', 'day, is_bar') }} as previous_bar_date,
        {{ last_known('close', 'day, is_bar') }} as previous_close,
        {{ last_known('bar_date', 'day desc, is_bar desc') }} as ex_bar_date,
        {{ last_known('open', 'day desc, is_bar desc') }} as ex_open
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
            when action_type in ('{{ without_factor | join("', '") }}') then 'no_factor'
            {%- for holds, status, _ in findings %}
            when {{ holds }} then '{{ status }}'
            {%- endfor %}
            else 'applied'
        end as status,
        case
            {%- for type, reason in without_factor.items() %}
            when action_type = '{{ type }}' then '{{ reason }}'
            {%- endfor %}
            {%- for holds, _, reason in findings %}
            when {{ holds }} then '{{ reason }}'
            {%- endfor %}
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
{%- endmacro %}


{# SQL: what two actions have in common that cannot both be. #}
{% macro same_action() -%}
feed, symbol, action_type, ex_date, coalesce(is_special, false)
{%- endmacro %}


{# SQL: the last value that is not NULL of a symbol's rows, or of those that `by` tells apart, up to this one. #}
{% macro last_known(column, ordered, by='symbol') -%}
last_value({{ column }} ignore nulls) over (
            partition by feed, {{ by }}
            order by {{ ordered }}
            rows between unbounded preceding and current row
        )
{%- endmacro %}
