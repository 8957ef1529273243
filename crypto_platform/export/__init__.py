"""Bars written out as files for other tools, from what `crypto_platform.research` reads.

docs/how-to/export.md shows each format.
"""
