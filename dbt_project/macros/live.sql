{#
  What the facts do not have yet, read through from the ledger at the time of asking: the newest day of a feed's daily
  facts, which may not have been over when they were built, and all after it. Older days are the facts'.
#}

{# SQL: the first live day of the feed in the column `feed`. #}
{% macro live_from() -%}
{%- set days = {} -%}
{%- do add_live_days(days) -%}
case feed
    {%- for feed, first_day in days.items() %}
    when '{{ feed }}' then {{ first_day }}
    {%- endfor %}
end
{%- endmacro %}


{#
  Add the first live day of each feed to `days`, as SQL: a literal where a build makes the view, for of a subquery's result
  Snowflake reads all of the ledger, at each look at a dashboard. Views are made again in each build; facts that were
  built without them only have them read a day too many.
#}
{% macro add_live_days(days) -%}
  {%- set facts = ref('fct_bars_1d') -%}
  {%- if execute and flags.WHICH in ('build', 'run') and load_relation(facts) is not none -%}
    {%- for feed in var('feeds') -%}
      {%- do days.update({feed: "cast('1970-01-01' as date)"}) -%}
    {%- endfor -%}
    {%- for newest in run_query('select feed, max(bar_date) from ' ~ facts ~ ' group by feed') if newest[0] in days -%}
      {%- do days.update({newest[0]: "cast('" ~ newest[1] ~ "' as date)"}) -%}
    {%- endfor -%}
  {%- else -%}
    {%- for feed in var('feeds') -%}
      {%- set newest = "select max(bar_date) from " ~ facts ~ " where feed = '" ~ feed ~ "'" -%}
      {%- do days.update({feed: "coalesce((" ~ newest ~ "), cast('1970-01-01' as date))"}) -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro %}


{# The current versions of the live days' bars; what lies before is not looked at. #}
{% macro live_versions() -%}
  {%- set days = {} -%}
  {%- do add_live_days(days) -%}
  {%- for feed, first_day in days.items() %}
select *
from {{ ref('stg_' ~ feed ~ '__bars') }}
where
    bar_start >= dateadd('day', -1, {{ first_day }})
    and bar_date >= {{ first_day }}
qualify {{ is_newest() }}
{%- if not loop.last %}
union all
{%- endif %}
  {%- endfor %}
{%- endmacro %}
