{#
  A test configured `where: __in_window__` sees the days of the window that the build was given, or everything without one:
  a day's build does not test years again, a build without a window does. https://docs.getdbt.com/reference/resource-configs/where
#}
{% macro get_where_subquery(relation) -%}
  {%- set where = config.get('where', '') -%}
  {%- if where == '__in_window__' -%}
    {%- set days = window_days() if execute else [] -%}
    {%- set where = in_increment({'ranges': ranges_of(days)} if days else none, 'bar_date') -%}
  {%- endif -%}
  {{ '(select * from ' ~ relation ~ ' where ' ~ where ~ ') as dbt_subquery' if where else relation }}
{%- endmacro %}
