{#
  The technical indicators of a symbol's bars, the SQL of a whole incremental model.

  `relation`: the bars, split-adjusted, `bar`: their column that orders them (bar_start or bar_date). Indicators run over the bars that exist,
  in order; each is NULL until its window is full. EMA and Wilder's averages depend on everything before, so a build
  computes every bar from the first changed day on, and reads as many blocks before it as an average remembers (see
  `recurrence`), twice: MACD's signal line is an average of averages.

  Seeds, as in TA-Lib: EMA n is the mean of the first n closes at bar n; MACD's signal line the mean of the first 9 values
  of MACD at bar 34; RSI and ATR begin with the mean of the first 14 changes and true ranges at bar 15; OBV with the first
  bar's volume.

  `since`: SQL for the first day that is asked for, for a model that is not incremental.
#}
{% macro indicators(relation, bar, since=none) -%}
  {%- set increment = none if since else increment_onwards(incremental_window(relation, ref('int_symbol_factors'))) -%}
  {%- set wanted = "bar_date >= " ~ since if since else in_increment(increment, 'bar_date') -%}
  {%- set is_whole = wanted == 'true' -%}
  {%- set block = bars_in_block() -%}
  {%- set ema = {12: 'cast(11 as float) / 13', 26: 'cast(25 as float) / 27'} -%}
  {%- set wilder = 'cast(13 as float) / 14' -%}
  {%- set wilder_of = {'gain': 'gain', 'loss': 'loss', 'atr': 'true_range'} -%}
  {%- set averages = {
      'ema_12': ema[12], 'ema_26': ema[26], 'gain': wilder, 'loss': wilder, 'atr': wilder
  } -%}
  {%- set signal = {'signal': 'cast(0.8 as float)'} -%}
with

numbered as (
    select
        feed,
        asset_class,
        symbol,
        {{ 'bar_start,' if bar == 'bar_start' }}
        bar_date,
        high,
        low,
        close,
        volume,
        coalesce(vwap, (high + low + close) / 3) as price,
        factors_version,
        loaded_at,
        row_number() over (partition by feed, symbol order by {{ bar }}) as bar_number,
        lag(close) over (partition by feed, symbol order by {{ bar }}) as previous_close
    from {{ relation }}
),

changes as (
    select
        *,
        cast(floor((bar_number - 1) / {{ block }}) as integer) as block,
        mod(bar_number - 1, {{ block }}) as block_position,
        greatest(close - previous_close, 0) as gain,
        greatest(previous_close - close, 0) as loss,
        greatest(high, previous_close) - least(low, previous_close) as true_range,
        sum(
            cast(iff(previous_close is null, 1, sign(close - previous_close)) * volume as number(38, 9))
        ) over (
            partition by feed, symbol
            order by bar_number
            rows between unbounded preceding and current row
        ) as obv
    from numbered
),
{% if not is_whole %}
warm_up as (
    select
        feed,
        symbol,
        (min(block) - {{ 2 * blocks_remembered() | int }}) * {{ block }} as after_bar
    from changes
    where {{ wanted }}
    group by feed, symbol
),
{% endif %}
windows as (
    select
        changes.*,
        {%- for count in (20, 50, 200) %}
        {{ window_mean('close', count) }} as sma_{{ count }},
        {%- endfor %}
        {%- for count, ratio in ema.items() %}
        case
            when bar_number < {{ count }} then 0
            when bar_number = {{ count }} then {{ window_mean('close', count) }}
            else close * (1 - {{ ratio }})
        end as ema_{{ count }}_input,
        {%- endfor %}
        {%- for name, input in wilder_of.items() %}
        case
            when bar_number < 15 then 0
            when bar_number = 15 then {{ window_mean(input, 14, first=2) }}
            else {{ input }} / 14
        end as {{ name }}_input,
        {%- endfor %}
        {%- for n in range(1, 20) %}
        lag(close, {{ n }}) over (partition by feed, symbol order by bar_number) as close_{{ n }},
        {%- endfor %}
        {{ window_sum('price * volume', 20) }} as turnover_20,
        {{ window_sum('volume', 20) }} as volume_20
    from changes
    {%- if not is_whole %}
    inner join warm_up using (feed, symbol)
    where bar_number > after_bar
    {%- endif %}
),

parts as (
    select
        *,
        {%- for name, ratio in averages.items() %}
        {{ recurrence_in_block(name ~ '_input', ratio) }} as {{ name }}_part{{ ',' if not loop.last }}
        {%- endfor %}
    from windows
),

left_of_blocks as (
    {{ left_of_blocks('parts', averages) }}
),

averages as (
    select
        bars.*,
        {%- for count, ratio in ema.items() %}
        iff(bars.bar_number >= {{ count }}, {{ recurrence('ema_' ~ count, ratio) }}, null) as ema_{{ count }},
        {%- endfor %}
        {%- for name in wilder_of %}
        iff(bars.bar_number >= 15, {{ recurrence(name, wilder) }}, null) as average_{{ name }},
        {%- endfor %}
        ema_12 - ema_26 as macd
    from parts as bars
    left join left_of_blocks as earlier using (feed, symbol, block)
),

signal_inputs as (
    select
        *,
        case
            when bar_number < 34 then 0
            when bar_number = 34 then {{ window_mean('macd', 9, first=26) }}
            else macd * (1 - {{ signal.signal }})
        end as signal_input
    from averages
),

signal_parts as (
    select
        *,
        {{ recurrence_in_block('signal_input', signal.signal) }} as signal_part
    from signal_inputs
),

signal_left_of_blocks as (
    {{ left_of_blocks('signal_parts', signal) }}
),

complete as (
    select
        bars.*,
        iff(bars.bar_number >= 34, {{ recurrence('signal', signal.signal) }}, null) as macd_signal,
        sqrt(
            (
                power(bars.close - bars.sma_20, 2)
                {%- for n in range(1, 20) %}
                + power(bars.close_{{ n }} - bars.sma_20, 2)
                {%- endfor %}
            ) / 20
        ) as deviation_20
    from signal_parts as bars
    left join signal_left_of_blocks as earlier using (feed, symbol, block)
)

select
    feed,
    asset_class,
    symbol,
    {{ 'bar_start,' if bar == 'bar_start' }}
    bar_date,
    bar_number,
    close,
    sma_20,
    sma_50,
    sma_200,
    ema_12,
    ema_26,
    macd,
    macd_signal,
    macd - macd_signal as macd_histogram,
    -- Without any change of price neither side is stronger. Multiplied last: rises alone are 100 and no digit more.
    iff(average_gain + average_loss = 0, 50, average_gain / nullif(average_gain + average_loss, 0) * 100) as rsi_14,
    sma_20 - 2 * deviation_20 as bollinger_lower,
    sma_20 as bollinger_middle,
    sma_20 + 2 * deviation_20 as bollinger_upper,
    average_atr as atr_14,
    obv,
    iff(bar_number >= 20, turnover_20 / nullif(volume_20, 0), null) as vwap_20,
    factors_version,
    loaded_at
from complete
{%- if not is_whole %}
where {{ wanted }}
{%- endif %}
{%- endmacro %}
