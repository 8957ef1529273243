{#
  What an increment goes into before its rows move to their table, with the contract's columns. dbt would first run the whole
  query for nothing to compare its columns with the contract; creating the table by the contract tells the same, and a first
  build still compares. It is the session's own, so that two builds at once cannot take each other's; where a session of
  the emulator cannot have one, `kind` is transient.
#}
{% macro create_increment_sql(relation, compiled_code, kind='temporary') -%}
  {%- set contracted = config.get('contract').enforced -%}
create or replace {{ kind }} table {{ relation }}
    {%- if contracted %}
    {{ get_table_columns_and_constraints() }}
    {%- endif %}
as (
    {{ get_select_subquery(compiled_code) if contracted else compiled_code }}
);
{%- endmacro %}


{#
  What a unit test compares: of columns whose expected values are written with a point, nine decimals, since the last
  digits of a float depend on the order of its sums and products.
#}
{% macro snowflake__get_unit_test_sql(main_sql, expected_fixture_sql, expected_column_names) -%}
  {%- set columns = [] -%}
  {%- for name in expected_column_names -%}
    {%- set floats = [] -%}
    {%- for row in config.get('expected_rows') or [] -%}
      {%- for column, value in row.items() if column | upper == name | upper | replace('"', '') and value is float -%}
        {%- do floats.append(value) -%}
      {%- endfor -%}
    {%- endfor -%}
    {%- do columns.append('round(' ~ name ~ ', 9) as ' ~ name if floats else name) -%}
  {%- endfor -%}
with

dbt_internal_unit_test_actual as (
    select
        {{ columns | join(', ') }},
        {{ dbt.string_literal('actual') }} as actual_or_expected
    from ({{ main_sql }}) as unit_test_actual
),

dbt_internal_unit_test_expected as (
    select
        {{ columns | join(', ') }},
        {{ dbt.string_literal('expected') }} as actual_or_expected
    from ({{ expected_fixture_sql }}) as unit_test_expected
)

select * from dbt_internal_unit_test_actual
union all
select * from dbt_internal_unit_test_expected
{%- endmacro %}


{#
  The comparison of a table or view with its contract, for which dbt plans its query once more: not in the build of a window
  of days where it is there already. A day does not change a definition; what changes one is a whole build, and compares.
#}
{% macro snowflake__get_assert_columns_equivalent(sql) -%}
  {%- if config.get('materialized') not in ('table', 'view') or not window_days() or load_relation(this) is none -%}
    {{ return(assert_columns_equivalent(sql)) }}
  {%- endif -%}
{%- endmacro %}


{# A seed whose table holds the file's rows is left as it is, where dbt writes it anew in every build. #}
{% macro snowflake__load_csv_rows(model, agate_table) %}
  {% set columns = [] %}
  {% for name in agate_table.column_names %}{% do columns.append('cast(' ~ name ~ ' as varchar)') %}{% endfor %}
  {% set held = "select " ~ columns | join(', ') ~ " from " ~ this %}
  {% if rows_as_text(run_query(held)) == rows_as_text(agate_table) %}
    {{ return(held) }}
  {% endif %}
  {{ return(dbt.snowflake__load_csv_rows(model, agate_table)) }}
{% endmacro %}


{# The rows of a result or a file, in an order of their own. #}
{% macro rows_as_text(table) %}
  {% set rows = [] %}
  {% for row in table.rows %}{% do rows.append(row.values() | map('string') | list) %}{% endfor %}
  {{ return(rows | sort) }}
{% endmacro %}
