"""Backups of what a home keeps: one archive with hashes, and its way back."""
