"""One client for each outside system; plain Python without Dagster, usable from a notebook."""
