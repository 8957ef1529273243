{#
  dbt's incremental materialization for models that replace whole days, with two thirds of its statements: what is written is
  made first, then the increment's days (`replaces`) are deleted and written in one transaction. A build that is killed
  or fails leaves the table as it was. An increment without days does nothing at all.
#}
{% materialization incremental, adapter='snowflake', supported_languages=['sql'] %}
  {% set original_query_tag = set_query_tag() %}
  {% set existing = load_relation(this) %}
  {% set target = this.incorporate(type='table') %}
  {% set days = config.get('meta', {}).get('replaces') %}
  {{ run_hooks(pre_hooks) }}
  {% if existing is none or not existing.is_table or should_full_refresh() %}
    {% if existing is not none and not existing.is_table %}{% do adapter.drop_relation(existing) %}{% endif %}
    {% call statement('main') %}{{ create_table_as(false, target, compiled_code) }}{% endcall %}
    {% do persist_docs(target, model) %}
  {% elif days is none %}
    {% do exceptions.raise_compiler_error(this ~ " does not say which days it replaces: see the macro `replace_predicate`") %}
  {% elif days == 'false' %}
    {% call noop_statement('main', message='NO NEW DAYS', code='SUCCESS', rows_affected=0) %}{{ compiled_code }}{% endcall %}
  {% else %}
    {% set columns = columns_to_write(existing) %}
    {% set made = make_temp_relation(this).incorporate(type='table') %}
    {% call statement('make') %}{{ create_increment_sql(made, compiled_code, 'transient' if on_emulator() else 'temporary') }}{% endcall %}
    {% set dml %}
delete from {{ target }} where {{ days }};
insert into {{ target }} ({{ columns }})
select {{ columns }} from {{ made }}
    {% endset %}
    {% call statement('main') %}{{ snowflake_dml_explicit_transaction(dml) }}{% endcall %}
    {% do adapter.drop_relation(made) %}
  {% endif %}
  {% do apply_grants(target, config.get('grants'), should_revoke=should_revoke(existing, full_refresh_mode=should_full_refresh())) %}
  {{ run_hooks(post_hooks) }}
  {% do unset_query_tag(original_query_tag) %}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}
