{#
  The names of the columns that the table has, joined. Fails where the model's YAML has others: then the table is to be
  made anew.
#}
{% macro columns_to_write(existing) %}
  {% set found = get_columns_in_query('select * from ' ~ existing) | map('lower') | list %}
  {% set wanted = model.columns.keys() | map('lower') | list %}
  {% if found | sort != wanted | sort %}
    {% do exceptions.raise_compiler_error(
      this ~ " has other columns than its YAML: build it once with --full-refresh (only the table: "
      ~ found | reject('in', wanted) | join(', ') ~ "; only the YAML: " ~ wanted | reject('in', found) | join(', ') ~ ")"
    ) %}
  {% endif %}
  {{ return(found | join(', ')) }}
{% endmacro %}


{#
  Tell the materialization which days this build writes anew: SQL over `bar_date`. `incremental_window` and
  `increment_start` do; a model that writes other days than these says so itself.
#}
{% macro replace_predicate(days) %}
  {% if execute %}{% do config.model.config.meta.update({'replaces': days}) %}{% endif %}
{% endmacro %}
