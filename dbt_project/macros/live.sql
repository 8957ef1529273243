{#
  What the facts do not have yet, read through from the ledger at the time of asking: the newest day of a feed's daily
  facts, which may not have been over when they were built, and all after it. Older days are the facts'.
#}

{# SQL: the first live day of the feed in the column `feed`. #}
{% macro live_from() -%}
case feed
    {%- for feed in var('feeds') %}
    when '{{ feed }}' then ({{ live_from_of(feed) }})
    {%- endfor %}
end
{%- endmacro %}


{# SQL: the first live day of one feed. #}
{% macro live_from_of(feed) -%}
select coalesce(max(bar_date), cast('1970-01-01' as date)) from {{ ref('fct_bars_1d') }} where feed = '{{ feed }}'
{%- endmacro %}


{# The current versions of the live days' bars; what lies before is not looked at. #}
{% macro live_versions() -%}
  {%- for feed in var('feeds') %}
select *
from {{ ref('stg_' ~ feed ~ '__bars') }}
where
    bar_start >= dateadd('day', -1, ({{ live_from_of(feed) }}))
    and bar_date >= ({{ live_from_of(feed) }})
qualify {{ is_newest() }}
{%- if not loop.last %}
union all
{%- endif %}
  {%- endfor %}
{%- endmacro %}
