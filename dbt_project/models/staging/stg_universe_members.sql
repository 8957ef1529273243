{{ raw_table('universe_members', {
    "feed": "varchar", "day": "date", "symbol": "varchar", "source": "varchar", "observed_at": "timestamp_ntz",
}) }}
