"""Bars from the vendor to the ledger: extract, publish, load, and what was refused on the way."""
