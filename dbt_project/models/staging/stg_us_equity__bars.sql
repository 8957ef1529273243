{{ stage_bars('us_equity') }}
