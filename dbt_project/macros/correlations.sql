{# Warn of symbols of `correlated_symbols` that no bar is of: they are left out. #}
{% macro warn_of_symbols_without_bars(named) %}
    {% if execute and named %}
        {% set known = run_query("select distinct symbol from " ~ ref('fct_bars_1d')).columns[0].values() %}
        {% set unknown = named | reject('in', known) | join(', ') %}
        {% if unknown %}
            {% do exceptions.warn("correlated_symbols: no bar of " ~ unknown ~ ": left out; correct it or load them") %}
        {% endif %}
    {% endif %}
{% endmacro %}
