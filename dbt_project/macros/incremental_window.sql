{#
  What an incremental build has to take in, worked out before the model's own SQL so that it holds literals, by
  which both engines skip the rest of the history: the days (`bar_date`) of the window given by the vars `start` and
  `end` (or DBT_WINDOW_START and DBT_WINDOW_END: other vars than last time make dbt parse everything anew), and the days that something was loaded for since this model was last built.

  `relations`: what the model reads, a relation or one per feed ({feed: relation}); it has the columns `feed`, `bar_date`
  and `loaded_at`, and so has the model.
  Returns `none` for everything (first build, full refresh), otherwise
    ranges            [(from, to), …] of bar_date, half-open
    high_watermarks   per feed the newest `loaded_at` looked at. A load that commits between this look and the model's
                      reading is left out of both by `before_high_watermark`, and the next build finds it.
  `loaded_at` grows from load to load of a feed, in whole microseconds.

  `versions`: for a model of adjusted prices, the relation that has each symbol's `factors_version`, which the model's rows
  have too. Of symbols that now have another one the increment is the whole history, its key `symbols` {feed: [symbol]}.
#}
{% macro incremental_window(relations, versions=none) %}
  {% if not execute or not is_incremental() %}{{ return(none) }}{% endif %}
  {% set high_watermarks = {} %}
  {% for row in run_query("select feed, max(loaded_at) as loaded_at from " ~ this ~ " group by feed") %}
    {% do high_watermarks.update({row[0]: row[1]}) %}
  {% endfor %}
  {% set days = window_days() %}
  {% set looks = [] %}
  {% for feed in var('feeds') %}
    {% set relation = relations if relations.identifier is defined else relations[feed] %}
    {% do looks.append(
      "select '" ~ feed ~ "' as feed, bar_date, max(loaded_at) as loaded_at from " ~ relation ~ " where feed = '" ~ feed
      ~ "' and loaded_at > cast('" ~ high_watermarks.get(feed, '1970-01-01') ~ "' as timestamp_ntz) group by bar_date"
    ) %}
  {% endfor %}
  {% for row in run_query(looks | join(" union all ")) %}
    {% do days.append(row[1]) %}
    {% if row[0] not in high_watermarks or row[2] > high_watermarks[row[0]] %}{% do high_watermarks.update({row[0]: row[2]}) %}{% endif %}
  {% endfor %}
  {% set increment = {"ranges": ranges_of(days), "high_watermarks": high_watermarks, "symbols": {}} %}
  {% if versions is not none %}{% do increment.symbols.update(symbols_of_other_versions(versions)) %}{% endif %}
  {% do replace_predicate(in_increment(increment, 'bar_date')) %}
  {{ return(increment) }}
{% endmacro %}


{# The bar_dates that the window's UTC days touch: an evening in New York is the next UTC day. #}
{% macro window_days() %}
  {% set day = modules.datetime.timedelta(days=1) %}
  {% set days = [] %}
  {% set start = var('start') or env_var('DBT_WINDOW_START', '') %}
  {% set end = var('end') or env_var('DBT_WINDOW_END', '') %}
  {% if (start == '') != (end == '') %}
    {% do exceptions.raise_compiler_error("The window needs both start and end (half-open UTC days).") %}
  {% elif start %}
    {% set first = modules.datetime.date.fromisoformat(start | string) - day %}
    {% set end = modules.datetime.date.fromisoformat(end | string) %}
    {% for n in range((end - first).days) %}{% do days.append(first + n * day) %}{% endfor %}
  {% endif %}
  {{ return(days) }}
{% endmacro %}


{# Days as half-open ranges, ascending. #}
{% macro ranges_of(days) %}
  {% set day = modules.datetime.timedelta(days=1) %}
  {% set ranges = [] %}
  {% for date in days | unique | sort %}
    {% if ranges and ranges[-1][1] == date %}
      {% do ranges.append((ranges.pop()[0], date + day)) %}
    {% else %}
      {% do ranges.append((date, date + day)) %}
    {% endif %}
  {% endfor %}
  {{ return(ranges) }}
{% endmacro %}


{# {feed: [symbol]} of those that the model's rows have another `factors_version` of than the relation `versions`. #}
{% macro symbols_of_other_versions(versions) %}
  {% do columns_to_write(this) %}
  {% set query %}
    select distinct
        made.feed,
        made.symbol
    from {{ this }} as made
    left join {{ versions }} as newest on made.feed = newest.feed and made.symbol = newest.symbol
    where made.factors_version <> coalesce(newest.factors_version, '')
  {% endset %}
  {% set symbols = {} %}
  {% for feed, symbol in run_query(query) %}{% do symbols.setdefault(feed, []).append(symbol) %}{% endfor %}
  {{ return(symbols) }}
{% endmacro %}


{# The same from the first changed day on, for a model whose every later row depends on it. #}
{% macro increment_onwards(increment) %}
  {% if increment is none %}{{ return(none) }}{% endif %}
  {% set end_of_time = modules.datetime.date.max %}
  {% set onwards = [] %}
  {% for from, _ in increment.ranges[:1] %}{% do onwards.append((from, end_of_time)) %}{% endfor %}
  {% set increment = dict(increment, ranges=onwards) %}
  {% do replace_predicate(in_increment(increment, 'bar_date')) %}
  {{ return(increment) }}
{% endmacro %}


{#
  SQL: `column` (a date or a timestamp) lies in the increment, or up to so many days around it, or the row's symbol does.
  The columns feed and symbol stand beside it.
#}
{% macro in_increment(increment, column, days_before=0, days_after=0) -%}
  {%- if increment is none -%}
true
  {%- elif not increment.ranges and not increment.symbols -%}
false
  {%- else -%}
  {%- set relation = column.rpartition('.')[0] ~ '.' if '.' in column else '' -%}
  {%- set parts = [] -%}
  {%- for from, to in increment.ranges -%}
    {%- do parts.append(
      "(\n        " ~ column ~ " >= '" ~ (from - modules.datetime.timedelta(days=days_before)) ~ "'\n        and " ~ column
      ~ " < '" ~ (to + modules.datetime.timedelta(days=days_after)) ~ "'\n    )"
    ) -%}
  {%- endfor -%}
  {%- for feed, symbols in (increment.symbols or {}).items() -%}
    {%- do parts.append(
      "(" ~ relation ~ "feed = '" ~ feed ~ "' and " ~ relation ~ "symbol in ('" ~ symbols | join("', '") ~ "'))"
    ) -%}
  {%- endfor -%}
(
    {{ parts | join('\n    or ') }}
)
  {%- endif -%}
{%- endmacro %}


{# SQL: the row was there when `incremental_window` looked. #}
{% macro before_high_watermark(increment) -%}
  {%- if increment is none -%}
true
  {%- else -%}
loaded_at <= case feed
    {%- for feed, loaded_at in increment.high_watermarks.items() %}
    when '{{ feed }}' then cast('{{ loaded_at }}' as timestamp_ntz)
    {%- endfor %}
    else cast('1970-01-01' as timestamp_ntz)
end
  {%- endif -%}
{%- endmacro %}
