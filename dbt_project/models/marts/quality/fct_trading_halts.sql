{{ trading_halts(ref('fct_bars')) }}
