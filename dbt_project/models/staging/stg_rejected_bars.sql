{{ stage_rejected_bars() }}
