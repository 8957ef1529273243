"""What runs by itself, and for which days: each day, after loads, gaps, housekeeping."""
