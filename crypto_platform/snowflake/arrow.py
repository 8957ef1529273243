"""The connector's Arrow results, made safe for threads; used in Superset's environment too."""

import base64
import threading
import zlib
from functools import cache

# An Arrow stream of one column and one row, a NUMBER(38, 0): pyarrow's `ipc.new_stream`, deflated.
_ONE_ROW = (
    "eNp1UDsKwkAQnc1HV00RJEgOYSHYWFhYqGBvkTaEIIFggqm8gQfxGB7Gm6xvxhGD4MCbz+6br3POWUMUE8uYIhpQSBYexASICZGFDlTjGUiFP4W1"
    "yBgKL6YEL5LoJdB3yf3UfuflgA9kwFzrPTBDrL4HLFdEI9j2UhZVVzVn+M8eh+ssgBDoirwupU8kE3K/RHn8vz9kuy3sBKibUwX68dqWwreY2+po"
    "G50RbdxNa7BENNOLRLIj+YHsrnlys1R7883Wuq+hr3j0X2zPNz951It5LrYvJl8lYQ=="
)
_lock = threading.Lock()


def prepare_for_threads() -> None:
    """Read a first Arrow result, alone: two threads that read their process's first ones at once deadlock.

    The connector's C++ logger is set up in a `std::call_once` that calls back into Python: one thread holds the flag
    and waits for the GIL, the other the GIL and waits for the flag.
    """
    with _lock:
        _read_one_row()


@cache
def _read_one_row() -> None:
    from snowflake.connector.arrow_context import ArrowConverterContext
    from snowflake.connector.nanoarrow_arrow_iterator import PyArrowRowIterator

    data = zlib.decompress(base64.b64decode(_ONE_ROW))
    list(PyArrowRowIterator(None, data, ArrowConverterContext(), False, False, False, True))
