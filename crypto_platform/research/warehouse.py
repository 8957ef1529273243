"""A session that only reads, and its results in Arrow's form."""

import atexit
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from crypto_platform.connectors.snowflake.connection import LoginError, connect
from crypto_platform.connectors.snowflake.downloads import read_large_pieces
from crypto_platform.connectors.snowflake.statements import DOES_NOT_EXIST
from crypto_platform.research.errors import WarehouseError
from crypto_platform.settings import LOOPBACK, Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

# No warehouse is chosen, or it is suspended and does not resume by itself.
_NO_WAREHOUSE = 606
TIMESTAMP = pa.timestamp("us", tz="UTC")


class Warehouse:
    """Opened by its first question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._session: SnowflakeConnection | None = None

    def close(self) -> None:
        """End the session; a question after that opens another."""
        atexit.unregister(self.close)
        self._session = None
        self._stack.close()

    def read(
        self,
        statement: str,
        values: Mapping[str, Any],
        schema: pa.Schema,
        coded: Mapping[str, Sequence[str]] | None = None,
    ) -> pa.RecordBatchReader:
        """The result of `statement` in the columns of `schema`, by their places; batches come as they are asked for.

        Timestamps are selected as whole microseconds since 1970, UTC, the columns of `coded` as places in its lists.

        Raises:
            WarehouseError: there is no connection, or the statement is refused; also while batches are read.
        """
        from snowflake.connector.errors import Error

        session = self._connected()
        try:
            cursor = session.cursor()
            cursor.execute(statement, dict(values), timeout=self._settings.snowflake_statement_timeout)
            tables = cursor.fetch_arrow_batches()
        except Error as error:
            raise self._explained(error) from error
        texts = {name: pa.array(values, pa.string()) for name, values in (coded or {}).items()}
        return pa.RecordBatchReader.from_batches(schema, self._batches(tables, schema, texts))

    def _batches(
        self, tables: Iterator[pa.Table], schema: pa.Schema, texts: Mapping[str, pa.Array]
    ) -> Iterator[pa.RecordBatch]:
        with self._explaining():
            for table in tables:
                columns = [
                    texts[field.name].take(found) if field.name in texts else _cast(found, field.type)
                    for found, field in zip(table.columns, schema, strict=True)
                ]
                yield from pa.Table.from_arrays(columns, schema=schema).to_batches()

    def _connected(self) -> "SnowflakeConnection":
        if self._session is None:
            if self._settings.embedded_snowflake:
                self._check_emulator()
            with self._explaining():
                self._session = self._stack.enter_context(connect(self._settings, "research"))
            read_large_pieces()
            # Of a notebook's that nobody closes: what ends it needs the interpreter's modules.
            atexit.register(self.close)
        return self._session

    def _check_emulator(self) -> None:
        """The connector would try for a minute."""
        port = self._settings.sandbox_snowflake_port
        if port == 0:
            raise WarehouseError(
                "SANDBOX_SNOWFLAKE_PORT is 0, any free port: set it to the one that `crypto-platform status` shows"
            )
        try:
            socket.create_connection((LOOPBACK, port), timeout=2).close()
        except OSError as error:
            raise WarehouseError(
                f"the Snowflake emulator does not answer on {LOOPBACK}:{port} ({error.strerror or error}): start it by "
                "`crypto-platform up` in another terminal, or set SNOWFLAKE_ACCOUNT to read from an account"
            ) from None

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        from snowflake.connector.errors import Error

        try:
            yield
        except LoginError as error:
            raise WarehouseError(str(error)) from error
        except Error as error:
            raise self._explained(error) from error

    def _explained(self, error: Any) -> WarehouseError:
        said = str(error.msg or error).strip()
        role = self._settings.snowflake_role or "the role"
        if error.errno == DOES_NOT_EXIST:
            return WarehouseError(
                f"{said}: the marts are made by the first `crypto-platform materialize`"
                + ("" if self._settings.embedded_snowflake else f", and {role} must be granted what READER is")
            )
        if error.errno == _NO_WAREHOUSE:
            return WarehouseError(
                f"{said}: set SNOWFLAKE_WAREHOUSE to one that {role} may use, and `ALTER WAREHOUSE … RESUME` it where "
                "it does not resume by itself"
            )
        if self._settings.embedded_snowflake:
            return WarehouseError(f"the Snowflake emulator: {said}")
        return WarehouseError(f"Snowflake: {said} (`crypto-platform doctor` checks login, role and warehouse)")


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The same values: whole numbers come as narrow as a chunk allows, and as decimals where they are sums."""
    if column.type == kind:
        return column
    if pa.types.is_timestamp(kind):
        return pc.cast(pc.cast(column, pa.int64()), kind)
    return pc.cast(column, kind)


def schema(names: Sequence[str], kinds: Mapping[str, pa.DataType]) -> pa.Schema:
    """The named columns, in their order."""
    return pa.schema([pa.field(name, kinds[name]) for name in names])
