"""Dagster's instance: its home, storage, launcher, web server, and runs whose process is gone."""
