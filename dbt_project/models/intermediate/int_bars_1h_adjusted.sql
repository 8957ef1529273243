{{ split_adjusted_bars(ref('fct_bars_1h')) }}
