{# Made by make_status_codes.py of crypto_platform/market/trading_statuses.py: change it there. #}

{# SQL: after the status nobody trades. #}
{% macro is_halting() -%}
(tape = 'A' AND status_code IN ('2') OR tape = 'B' AND status_code IN ('2') OR tape = 'C' AND status_code IN ('H', 'P') OR tape = 'O' AND status_code IN ('H', 'P'))
{%- endmacro %}


{# SQL: after the status everybody may trade. #}
{% macro is_resuming() -%}
(tape = 'A' AND status_code IN ('3') OR tape = 'B' AND status_code IN ('3') OR tape = 'C' AND status_code IN ('T') OR tape = 'O' AND status_code IN ('T'))
{%- endmacro %}
