{{ stage_loads() }}
