{{ stage_corporate_actions('us_equity_daily') }}
