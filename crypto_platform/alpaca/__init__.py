"""Alpaca's market-data API."""

# The header by which the sandbox server says that it is not Alpaca: its bars are `recorded` or `simulated`.
NOT_ALPACA = "X-Not-Alpaca"
