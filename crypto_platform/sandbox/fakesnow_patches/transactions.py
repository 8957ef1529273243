"""What the emulator lacks of Snowflake's transactions: locks are waited for, DDL commits, abandoned ones end.

A write that conflicts with another transaction's is an HTTP 500 in the emulator, which the connector retries for as
long as its network timeout, to no avail. Snowflake has it wait for the other's end and then see what that one wrote, as
each statement of a transaction does (https://docs.snowflake.com/en/sql-reference/transactions#resource-locking). Here a
transaction is of one moment: one that has done nothing yet waits and begins anew, any other is refused at once. And two
conflict by row, where Snowflake locks partitions of a table or all of it.

A client that is killed leaves its session and its open transaction in the emulator for good, and every later
write to the same row fails. Snowflake aborts such a transaction after five idle minutes once it is in the way
(https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions).

A statement that changes a definition commits the transaction that is open, and is one of its own
(https://docs.snowflake.com/en/sql-reference/transactions#ddl-statements); DuckDB would take it back with a ROLLBACK.
"""

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from fakesnow.conn import FakeSnowflakeConnection

# https://docs.snowflake.com/en/sql-reference/transactions: a statement that could not get its lock.
LOCKED = 625
_WAIT_SECONDS = 0.05
_DDL = ("ALTER", "COMMENT", "CREATE", "DROP", "TRUNCATE", "UNDROP")


def install(idle_seconds: float, lock_seconds: float) -> None:
    """Make fakesnow's cursors wait so long for a lock, and end transactions that were idle so long."""
    import duckdb
    from fakesnow.cursor import FakeSnowflakeCursor
    from snowflake.connector.errors import ProgrammingError

    transactions = _Transactions(idle_seconds)
    execute = FakeSnowflakeCursor.execute

    def guarded(self: FakeSnowflakeCursor, command: str, *args: Any, **kwargs: Any) -> FakeSnowflakeCursor:
        if transactions.enter(self._conn, command):
            raise ProgrammingError(
                f"The transaction was aborted: it was idle for more than {idle_seconds} s",
                errno=LOCKED,
                sqlstate="57014",
            )
        deadline = time.monotonic() + lock_seconds
        try:
            while True:
                try:
                    return execute(self, command, *args, **kwargs)
                except duckdb.TransactionException as error:
                    if time.monotonic() >= deadline or not transactions.begin_anew(self._conn):
                        raise ProgrammingError(
                            f"Statement aborted, another transaction holds the lock: {error}",
                            errno=LOCKED,
                            sqlstate="57014",
                        ) from error
                    time.sleep(_WAIT_SECONDS)
        finally:
            transactions.leave(self._conn)

    FakeSnowflakeCursor.execute = guarded  # type: ignore[method-assign]


@dataclass
class _Open:
    """An explicit transaction: its statements so far, and when the last one ended; None while one runs."""

    statements: int = 0
    used: float | None = None


class _Transactions:
    """The explicit transactions that are open."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        # Weak, because a session that is closed ends its transaction by being forgotten.
        self._open: WeakKeyDictionary[FakeSnowflakeConnection, _Open] = WeakKeyDictionary()
        self._aborted: WeakSet[FakeSnowflakeConnection] = WeakSet()

    def enter(self, connection: "FakeSnowflakeConnection", command: str) -> bool:
        """Note that `connection` starts a statement; whether its transaction was aborted before it."""
        verb = command.split(maxsplit=1)[0].upper().rstrip(";") if command.strip() else ""
        with self._lock:
            self._abort_idle(connection)
            if verb in ("BEGIN", "START"):
                self._aborted.discard(connection)
                self._open[connection] = _Open()
            elif verb in ("COMMIT", "ROLLBACK"):
                self._open.pop(connection, None)
                if connection in self._aborted:
                    self._aborted.discard(connection)
                    return verb == "COMMIT"
            elif verb in _DDL and connection in self._open:
                del self._open[connection]
                connection._duck_conn.commit()
            elif connection in self._open:
                self._open[connection].statements += 1
                self._open[connection].used = None
            return connection in self._aborted

    def leave(self, connection: "FakeSnowflakeConnection") -> None:
        with self._lock:
            if connection in self._open:
                self._open[connection].used = time.monotonic()

    def begin_anew(self, connection: "FakeSnowflakeConnection") -> bool:
        """Whether what was refused can be repeated: it is alone in its transaction, which begins anew."""
        with self._lock:
            self._abort_idle(connection)
            transaction = self._open.get(connection)
            if transaction is None:
                return True
            if transaction.statements > 1:
                return False
            connection._duck_conn.rollback()
            connection._duck_conn.begin()
            return True

    def _abort_idle(self, current: "FakeSnowflakeConnection") -> None:
        oldest = time.monotonic() - self._idle_seconds
        for connection, transaction in list(self._open.items()):
            if connection is not current and transaction.used is not None and transaction.used < oldest:
                del self._open[connection]
                self._aborted.add(connection)
                connection._duck_conn.rollback()
