{# SQL: until when Alpaca was asked for each feed, symbol, timeframe and UTC day. #}
{% macro asked_days() -%}
select
        feed,
        symbol,
        {{ timeframe_seconds('timeframe') }} as timeframe_seconds,
        day,
        max(asked_until) as asked_until
    from {{ source('raw', 'asked_days') }}
    group by feed, symbol, timeframe, day
{%- endmacro %}


{# SQL: why bars are missing from a session, up to `gap_end`; `asked_until`: columns, NULL when nobody asked. #}
{% macro gap_class(asset_class, gap_end, asked_until) -%}
case
                when {% for column in asked_until %}coalesce({{ column }} < {{ gap_end }}, true)
                {%- if not loop.last %} and {% endif %}{% endfor %} then 'missed_by_us'
                when {{ asset_class }} = 'crypto' then 'missing_at_vendor'
                else 'no_trade'
            end
{%- endmacro %}
