{#
  Window functions over the bars of a symbol, or of what another column (`series`) tells apart, in the order of
  `bar_number`. Sums are of decimals, so that a window has the same digits wherever the reading began; 18 decimals keep a
  float's own precision for prices of any size.
#}
{% macro last_bars(count, series='symbol') -%}
over (
            partition by feed, {{ series }}
            order by bar_number
            rows between {{ count - 1 }} preceding and current row
        )
{%- endmacro %}


{# SQL: the sum of `expression` over the last `count` bars. #}
{% macro window_sum(expression, count, decimals=18, series='symbol') -%}
cast(sum(cast({{ expression }} as number(38, {{ decimals }}))) {{ last_bars(count, series) }} as float)
{%- endmacro %}


{# SQL: its mean over the last `count` bars; NULL until there are as many from bar `first` on. #}
{% macro window_mean(expression, count, first=1, series='symbol') -%}
iff(
            bar_number >= {{ first + count - 1 }},
            {{ window_sum(expression, count, series=series) }} / {{ count }},
            null
        )
{%- endmacro %}


{# SQL: its sample deviation over the last `count` bars, NULL likewise; for returns, whose mean is small beside it. #}
{% macro window_deviation(expression, count, first=1, series='symbol') -%}
iff(
            bar_number >= {{ first + count - 1 }},
            sqrt(
                greatest(
                    {{ window_sum(expression ~ ' * ' ~ expression, count, decimals=24, series=series) }}
                    - power({{ window_sum(expression, count, decimals=24, series=series) }}, 2) / {{ count }},
                    0
                ) / {{ count - 1 }}
            ),
            null
        )
{%- endmacro %}


{#
  Linear recurrences y(n) = r · y(n-1) + u(n), which EMA and Wilder's averages are, without recursion. Bars are cut into
  blocks by their number. Within a block y is the running sum of u(i) / r^i, times r^n (`recurrence_in_block`, a column
  named <name>_part); `left_of_blocks` is what the blocks before have left at a block's beginning, `recurrence` both.
  The running sum is of decimals too, hence the short blocks: 0.8^-100, the steepest, is 5e9, which leaves prices nine of
  the digits before the point.
  What lies further back than six blocks weighs less than (13/14)^600, 5e-20.
#}
{% macro bars_in_block() %}100{% endmacro %}
{% macro blocks_remembered() %}6{% endmacro %}


{% macro recurrence_in_block(input, ratio) -%}
power({{ ratio }}, block_position)
        * cast(
            sum(cast({{ input }} * power({{ ratio }}, -block_position) as number(38, 18))) over (
                partition by feed, symbol, block
                order by bar_number
                rows between unbounded preceding and current row
            ) as float
        )
{%- endmacro %}


{#
  The rows, one a symbol and block, that `recurrence` joins as `earlier`: `ratios` are by the recurrences' names, `parts`
  is the relation that has their <name>_part.
#}
{% macro left_of_blocks(parts, ratios) -%}
select
        feed,
        symbol,
        block + 1 as block,
        {%- for name, ratio in ratios.items() %}
        {{ name }}_part
        {%- for back in range(1, blocks_remembered() | int) %}
        + coalesce(lag({{ name }}_part, {{ back }}) over (partition by feed, symbol order by block), 0)
        * power({{ ratio }}, {{ back * bars_in_block() | int }})
        {%- endfor %} as {{ name }}_left{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ parts }}
    where block_position = {{ bars_in_block() | int - 1 }}
{%- endmacro %}


{% macro recurrence(name, ratio) -%}
bars.{{ name }}_part + coalesce(earlier.{{ name }}_left * power({{ ratio }}, bars.block_position + 1), 0)
{%- endmacro %}
