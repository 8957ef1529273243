{#
  A sum over decimals, as a float. Sums of floats depend on the order of their terms; this is the same to the last digit
  in an incremental build, a full refresh and anybody's own addition. Alpaca gives volumes of up to nine decimals.
  The cast stands directly in the sum: the emulator casts any other argument to a float.
#}
{% macro exact_sum(expression, decimals=9) -%}
cast(sum(cast({{ expression }} as number(38, {{ decimals }}))) as float)
{%- endmacro %}


{#
  The volume-weighted average price of a group of bars; NULL when none of them tells volume and VWAP, or all of their
  volume is less than the ninth decimal.
#}
{% macro vwap_of_bars() -%}
{{ exact_sum('iff(vwap > 0 and volume > 0, vwap * volume, null)', 12) }}
    / nullif({{ exact_sum('iff(vwap > 0 and volume > 0, volume, null)') }}, 0)
{%- endmacro %}
