"""Alpaca's market-data API."""

# The header by which the sandbox server says that it is not Alpaca: its bars are `recorded` or `simulated`.
NOT_ALPACA = "X-Not-Alpaca"
# What those answers say of recordings, and where the server lists the bars that it has.
RECORDED = "recorded"
HELD = "/sandbox/bars"
