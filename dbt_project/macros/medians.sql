{#
  Medians by rank, in two steps: MEDIAN keeps every value of every group in memory, which of the hours of a thousand symbols
  is more than the emulator has.
#}

{# The rows with their number in the group and, by each of the columns, their rank; no column may be NULL. #}
{% macro ranked(rows, group, columns) -%}
select
    *,
    count(*) over (partition by {{ group }}) as rank_count
    {%- for column in columns %},
    row_number() over (partition by {{ group }} order by {{ column }}) as {{ column }}_rank
    {%- endfor %}
from {{ rows }}
{%- endmacro %}


{# The column's median in a group of ranked rows: the one in the middle, or the mean of the two. #}
{% macro median_of_ranked(column) -%}
avg(iff({{ column }}_rank in (floor((rank_count + 1) / 2), floor((rank_count + 2) / 2)), {{ column }}, null))
{%- endmacro %}
