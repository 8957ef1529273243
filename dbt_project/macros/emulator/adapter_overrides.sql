{#
  What the emulator cannot do as dbt-snowflake asks for it. On Snowflake these are the adapter's own.
#}

{% macro on_emulator() %}{{ return(target.name == 'embedded') }}{% endmacro %}


{# It cannot describe a temporary table, so there it is a transient one, which dbt drops just the same. #}
{% macro snowflake__create_table_as(temporary, relation, compiled_code, language='sql') -%}
  {%- if temporary and on_emulator() -%}
    {{ create_increment_sql(relation, compiled_code, 'transient') }}
  {%- else -%}
    {{ dbt.snowflake__create_table_as(temporary, relation, compiled_code, language) }}
  {%- endif -%}
{%- endmacro %}


{# A snapshot's MERGE as an UPDATE and an INSERT in one transaction: it takes the columns for ambiguous. #}
{% macro snowflake__snapshot_merge_sql(target, source, insert_cols) -%}
  {%- if not on_emulator() -%}
    {%- do return(dbt.snowflake__snapshot_merge_sql(target, source, insert_cols)) -%}
  {%- endif -%}
  {%- set columns = config.get('snapshot_table_column_names') or get_snapshot_table_column_names() -%}
  {%- set dml -%}
update {{ target }}
set {{ columns.dbt_valid_to }} = ended.{{ columns.dbt_valid_to }}
from {{ source }} as ended
where
    ended.{{ columns.dbt_scd_id }} = {{ target }}.{{ columns.dbt_scd_id }}
    and ended.dbt_change_type in ('update', 'delete')
    and {{ target }}.{{ columns.dbt_valid_to }} is null;

insert into {{ target }} ({{ insert_cols | join(', ') }})
select {{ insert_cols | join(', ') }}
from {{ source }}
where dbt_change_type = 'insert'
  {%- endset -%}
  {%- do return(snowflake_dml_explicit_transaction(dml)) -%}
{%- endmacro %}


{# What a snapshot staged is dropped: it does not go with the session. #}
{% macro snowflake__post_snapshot(staging_relation) -%}
  {% if on_emulator() %}{% do drop_relation_if_exists(staging_relation) %}{% endif %}
{%- endmacro %}
