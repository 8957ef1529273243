{{ stage_bars('us_equity_daily') }}
