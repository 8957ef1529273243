"""Snowflake's connector, made safe to be used by several threads at once.

With a process's first result, and its first decimal, date and time, it sets something up in C++ under a lock, and calls
Python while it holds that. Of two threads that are first together one may hold the lock and wait for the interpreter,
and the other hold the interpreter and wait for the lock: for ever, and no timeout or signal handler runs any more.

Free of the project's other modules: Superset's own Python imports it too.
"""

from threading import Lock

_lock = Lock()
_is_ready = False


def ready_for_threads() -> None:
    """Have the connector set all of it up, once; to be called before a result of this process is read."""
    global _is_ready
    with _lock:
        if not _is_ready:
            for result in results():
                read(result)
            _is_ready = True


def results() -> list[bytes]:
    """A result in Arrow's format for each part of the connector that is set up when it is first used."""
    import pyarrow as pa

    number = {"logicalType": "FIXED", "precision": "38"}
    kinds = [
        number | {"scale": "0"},
        number | {"scale": "2"},
        {"logicalType": "DATE"},
        {"logicalType": "TIME", "scale": "9"},
    ]
    # From memory as it is: from a list pyarrow would look for pandas, which dbt's process goes without.
    zero = pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(bytes(8))])
    made = []
    for kind in kinds:
        schema, sink = pa.schema([pa.field("value", zero.type, metadata=kind)]), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays([zero], schema=schema))
        made.append(sink.getvalue().to_pybytes())
    return made


def read(result: bytes) -> list[tuple[object, ...]]:
    """The rows of a result, as a cursor reads them."""
    from snowflake.connector.arrow_context import ArrowConverterContext
    from snowflake.connector.nanoarrow_arrow_iterator import PyArrowRowIterator

    return list(PyArrowRowIterator(None, result, ArrowConverterContext(), False, False, False, True))
