"""Large results leave the emulator as Snowflake's do: the first rows in the answer, the rest in chunks over HTTP.

fakesnow holds a result in memory, for as long as it runs, and answers with all of it as base64 in one JSON text: 2 us a
row of ten columns, on its event loop. Here what is beyond a chunk goes to a file without a name, which the system
frees with the last that reads it, and the connector fetches several chunks at once.
"""

import json
import mmap
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from snowflake.connector.errors import ProgrammingError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# Rows of the answer itself, and of each chunk: 20 MB of ten columns.
INLINE_ROWS, CHUNK_ROWS = 10_000, 250_000
# A session reads one result after the other; a few may be open side by side.
RESULTS_KEPT = 4
# Snowflake's own chunks can be fetched for six hours; one whose client was killed is in no session that ends.
IDLE_SECONDS = 3_600.0
# What RESULT_SCAN can still read.
SCANNED_KEPT, SCANNED_BYTES = 64, 64 * 2**20


@dataclass
class _Result:
    session: str
    table: pa.Table
    columns: list[Any]
    used_at: float = field(default_factory=time.monotonic)

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """First row and count of each."""
        rows = self.table.num_rows
        return [(first, min(CHUNK_ROWS, rows - first)) for first in range(INLINE_ROWS, rows, CHUNK_ROWS)]


class Results:
    """The results that clients may still fetch chunks of."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: OrderedDict[str, _Result] = OrderedDict()

    def keep(self, session: str, table: pa.Table, columns: list[Any]) -> str:
        """Hold a result of a session; returns the name that chunks are asked for by. Older ones may go for it."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            own = [known for known, result in self._results.items() if result.session == session]
            oldest = time.monotonic() - IDLE_SECONDS
            idle = [known for known, result in self._results.items() if result.used_at < oldest]
            for known in {*own[: max(0, len(own) - RESULTS_KEPT + 1)], *idle}:
                del self._results[known]
            self._results[name] = _Result(session, table, columns)
        return name

    def get(self, name: str) -> _Result | None:
        with self._lock:
            result = self._results.get(name)
            if result is not None:
                result.used_at = time.monotonic()
            return result

    def forget(self, session: str) -> None:
        """Drop the results of a session (its Authorization header) that has ended."""
        with self._lock:
            for known in [known for known, result in self._results.items() if result.session == session]:
                del self._results[known]


class _Scannable(dict[str, tuple[Any, ...]]):
    """fakesnow's results by statement, of which it keeps all: here those of the last statements, within a size."""

    def __setitem__(self, statement: str, result: tuple[Any, ...]) -> None:
        super().__setitem__(statement, result)
        # Another session's thread may do the same at the same time.
        for old in list(self)[:-1]:
            if len(self) <= SCANNED_KEPT and sum(kept[0].nbytes for kept in list(self.values())) <= SCANNED_BYTES:
                break
            self.pop(old, None)


class _Connection:
    """A connection of DuckDB whose large results are on disk."""

    def __init__(self, connection: Any, scratch: Path) -> None:
        self._connection, self._scratch = connection, scratch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def to_arrow_table(self) -> pa.Table:
        """The result of the last statement; beyond the rows of a chunk, mapped from a file that has no name.

        Raises:
            ProgrammingError: the file cannot be written, as when the disk is full.
        """
        reader = self._connection.to_arrow_reader(CHUNK_ROWS)
        batches: list[pa.RecordBatch] = []
        rows = 0
        while rows <= CHUNK_ROWS:
            batch = next(reader, None)
            if batch is None:
                return pa.Table.from_batches(batches, schema=reader.schema)
            batches.append(batch)
            rows += batch.num_rows
        try:
            with TemporaryFile(dir=self._scratch) as file:
                with pa.ipc.new_file(file, reader.schema) as writer:
                    for batch in chain(batches, reader):
                        writer.write_batch(batch)
                file.flush()
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            # Of any other error the connector would send the statement again and again.
            raise ProgrammingError(f"The emulator cannot keep a large result: {error}", errno=300005) from error
        return pa.ipc.open_file(pa.py_buffer(mapped)).read_all()


class Chunked:
    """The handler `run` of statements, whose large results are given out by `chunk`."""

    def __init__(self, run: "Callable[[Request], Awaitable[Response]]", server: Any) -> None:
        self._run, self._server = run, server
        self._results = Results()
        self._session: ContextVar[str] = ContextVar("session")
        self._large: ContextVar[str | None] = ContextVar("large", default=None)
        self._to_sf = server.to_sf
        server.to_sf = self._first_rows

    async def __call__(self, request: "Request") -> "Response":
        from starlette.responses import JSONResponse

        self._session.set(request.headers.get("Authorization", ""))
        self._large.set(None)
        response = await self._run(request)
        name = self._large.get()
        result = self._results.get(name) if name else None
        if result is None:
            return response
        answer = json.loads(response.body)
        size = result.table.nbytes
        answer["data"]["chunks"] = [
            {
                "url": f"{request.url.scheme}://{request.url.netloc}/result-chunks/{name}/{number}",
                "rowCount": rows,
                "uncompressedSize": size * rows // result.table.num_rows,
                "compressedSize": size * rows // result.table.num_rows,
            }
            for number, (_, rows) in enumerate(result.chunks)
        ]
        return JSONResponse(answer)

    def chunk(self, request: "Request") -> "Response":
        """A chunk in Arrow's format; 410 of a result that is no longer kept."""
        from starlette.responses import Response

        result = self._results.get(request.path_params["result"])
        number: int = request.path_params["number"]
        if result is None or number >= len(result.chunks):
            return Response(status_code=410)
        first, rows = result.chunks[number]
        body = self._server.to_ipc(self._to_sf(result.table.slice(first, rows), result.columns))
        return Response(memoryview(body), media_type="application/octet-stream")

    def forget(self, session: str) -> None:
        self._results.forget(session)

    def _first_rows(self, table: pa.Table, columns: list[Any]) -> pa.Table:
        """In place of the server's `to_sf`: what goes into the answer itself."""
        if table.num_rows > INLINE_ROWS + CHUNK_ROWS:
            self._large.set(self._results.keep(self._session.get(), table, columns))
            table = table.slice(0, INLINE_ROWS)
        return self._to_sf(table, columns)


def install(cursor: Any, instance: Any, scratch: Path) -> None:
    """Have fakesnow's module `cursor` put large results into files in `scratch`, and `instance` keep fewer of all."""
    begin = cursor.FakeSnowflakeCursor.__init__

    def on_disk(self: Any, conn: Any, duck_conn: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, conn, _Connection(duck_conn, scratch), *args, **kwargs)

    cursor.FakeSnowflakeCursor.__init__ = on_disk
    instance.results_cache = _Scannable()
