{# The staging view of the trading statuses of one stock feed that is streamed; a feed that was told none has none. #}
{% macro stage_trading_statuses(feed) -%}
  {%- set columns = {
    "symbol": "varchar", "status_at": "timestamp_ntz", "status_code": "varchar", "status_message": "varchar",
    "reason_code": "varchar", "reason_message": "varchar", "tape": "varchar", "source": "varchar",
    "observed_at": "timestamp_ntz", "kafka_topic": "varchar", "kafka_partition": "number(38, 0)",
    "kafka_offset": "number(38, 0)", "load_id": "varchar", "loaded_at": "timestamp_ntz",
  } -%}
{{ stage_records(feed, 'trading_statuses', columns) }}
{%- endmacro %}


{# The trading statuses of every feed that has them, one under the other. #}
{% macro union_trading_statuses() -%}
  {%- for feed in var('feeds') if var('feeds')[feed].trading_statuses is defined %}
select * from {{ ref('stg_' ~ feed ~ '__trading_statuses') }}
{%- if not loop.last %}
union all
{%- endif %}
  {%- endfor %}
{%- endmacro %}


{#
  The halts of each symbol that its statuses tell; the SQL of a whole model.

  A status that halts a stock which is halted already tells its reason anew and begins no halt. A resumption that was not
  heard, the stream being cut, is made good by the first bar of `bars` (feed, symbol, bar_start) that began after it.
#}
{% macro trading_halts(bars) -%}
with

statuses as (
    select * from (
        {{ union_trading_statuses() }}
    ) as versions
    where {{ is_halting() }} or {{ is_resuming() }}
    -- Of each status the version observed last.
    qualify
        row_number() over (
            partition by feed, symbol, status_at, status_code
            order by observed_at desc, loaded_at desc, kafka_offset desc
        ) = 1
),

followed as (
    select
        *,
        {{ is_halting() }} as is_halting,
        lead(status_at) over (partition by feed, symbol order by status_at, kafka_offset) as next_at,
        lead({{ is_halting() }}) over (partition by feed, symbol order by status_at, kafka_offset) as next_is_halting
    from statuses
),

-- Where no resumption follows.
traded as (
    select
        followed.feed,
        followed.symbol,
        followed.status_at,
        min(bars.bar_start) as traded_at
    from followed
    inner join {{ bars }} as bars
        on
            followed.feed = bars.feed
            and followed.symbol = bars.symbol
            and followed.status_at <= bars.bar_start
            and coalesce(bars.bar_start < followed.next_at, true)
    where followed.is_halting and coalesce(followed.next_is_halting, true)
    group by followed.feed, followed.symbol, followed.status_at
),

ended as (
    select
        followed.*,
        iff(coalesce(followed.next_is_halting, true), traded.traded_at, followed.next_at) as ended_at
    from followed
    left join traded
        on
            followed.feed = traded.feed
            and followed.symbol = traded.symbol
            and followed.status_at = traded.status_at
    where followed.is_halting
),

starts as (
    select
        *,
        iff(
            lag(status_at) over (partition by feed, symbol order by status_at, kafka_offset) is not null
            and lag(ended_at) over (partition by feed, symbol order by status_at, kafka_offset) is null,
            0,
            1
        ) as is_start
    from ended
),

numbered as (
    select
        *,
        sum(is_start) over (
            partition by feed, symbol
            order by status_at, kafka_offset
            rows between unbounded preceding and current row
        ) as halt_number
    from starts
)

select
    feed,
    symbol,
    status_at as halted_at,
    max(ended_at) over (partition by feed, symbol, halt_number) as resumed_at,
    status_code,
    status_message,
    reason_code,
    reason_message
from numbered
qualify is_start = 1
{%- endmacro %}
