{{ stage_trading_statuses('us_equity') }}
