{{ stage_bars('crypto') }}
