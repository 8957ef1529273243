"""A server that speaks Alpaca's market-data API over recorded or simulated bars, to an unchanged alpaca-py.

It is not Alpaca, and says so in a header of every response. `running` starts one for as long as a block runs.
"""

from crypto_platform.sandbox.alpaca.launch import running

__all__ = ["running"]
