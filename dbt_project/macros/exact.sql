{#
  A float as a decimal: sums of decimals are the same in whatever order they are added, so an incremental build and a
  full refresh agree to the last digit. Alpaca gives volumes of up to nine decimals.
#}
{% macro exact(expression, decimals=9) -%}
cast({{ expression }} as number(38, {{ decimals }}))
{%- endmacro %}
