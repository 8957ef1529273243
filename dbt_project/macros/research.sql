{#
  What `crypto_platform.research` asks of a point of time, with the values that it binds: :known_at, :feed, :symbols as JSON,
  and [:first, :after), by which bars are looked for, wider than the range by what a day of any calendar may need.
  `python dbt_project/analyses/make_research_queries.py` takes the analyses from here into the package.
#}
{% macro bars_in_question() -%}
feed = :feed and symbol in ({{ symbols_in_question() }}) and bar_start >= :first and bar_start < :after
{%- endmacro %}


{% macro symbols_in_question() -%}
select asked.value::varchar from table(flatten(input => parse_json(:symbols))) as asked
{%- endmacro %}


{# The symbols and every other ticker of their securities, whose actions change their prices too. #}
{% macro tickers_in_question() -%}
feed = :feed and symbol in (
        select others.symbol
        from {{ ref('dim_symbol_history') }} as own
        inner join {{ ref('dim_symbol_history') }} as others
            on own.feed = others.feed and own.security_id = others.security_id
        where own.feed = :feed and own.symbol in ({{ symbols_in_question() }})
    )
{%- endmacro %}


{% macro daily_bars_in_question() -%}
{{ rolled_up_as_of(86400, ':known_at', tickers_in_question()) }}
{%- endmacro %}
