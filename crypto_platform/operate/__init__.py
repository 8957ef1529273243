"""What keeps the feeds up to date without a hand: daily runs, backfills, repair, housekeeping."""
