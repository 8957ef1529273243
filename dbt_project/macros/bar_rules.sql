{# Made by make_bar_rules.py of crypto_platform/market/bars.py, whose rules the load keeps: change them there. #}

{# What is wrong with a bar's open, high, low and close, by the reason. #}
{% macro price_rules() %}
  {{ return({
    "a price is not a positive number": "NOT (open > 0 AND open < CAST('inf' AS DOUBLE) AND high > 0 AND high < CAST('inf' AS DOUBLE) AND low > 0 AND low < CAST('inf' AS DOUBLE) AND close > 0 AND close < CAST('inf' AS DOUBLE))",
    "high is below low": "high < low * 0.999999999",
    "open is outside of low and high": "open NOT BETWEEN low * 0.999999999 AND high * 1.000000001",
    "close is outside of low and high": "close NOT BETWEEN low * 0.999999999 AND high * 1.000000001"
}) }}
{% endmacro %}


{# The same of its volume and trade count. #}
{% macro volume_rules() %}
  {{ return({
    "volume is not a number from zero up": "NOT (volume >= 0 AND volume < CAST('inf' AS DOUBLE))",
    "trade_count is negative": "trade_count < 0"
}) }}
{% endmacro %}


{# The same of its VWAP. #}
{% macro vwap_rules() %}
  {{ return({
    "vwap is not a number from zero up": "NOT (vwap >= 0 AND vwap < CAST('inf' AS DOUBLE))",
    "vwap is outside of low and high": "NOT (vwap = 0 AND volume = 0) AND (timeframe <> '1Day' OR contains(symbol, '/')) AND vwap NOT BETWEEN low * 0.999999999 AND high * 1.000000001"
}) }}
{% endmacro %}
