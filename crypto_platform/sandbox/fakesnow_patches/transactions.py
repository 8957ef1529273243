"""What the emulator lacks of Snowflake's transactions: abandoned ones end, and a conflict is an error at once.

A client that is killed leaves its session and its open transaction in the emulator for good, and every later
write to the same row fails. Snowflake aborts such a transaction after five idle minutes once it is in the way
(https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions). A write conflict is an HTTP 500
in the emulator, which the connector retries for as long as its network timeout, to no avail.
"""

import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from fakesnow.conn import FakeSnowflakeConnection

# https://docs.snowflake.com/en/sql-reference/transactions: a statement that could not get its lock.
LOCKED = 625
_OUTSIDE_ATTEMPTS = 20


def install(idle_seconds: float) -> None:
    """Make fakesnow's cursors end transactions of sessions that were idle for `idle_seconds`."""
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
        try:
            for attempt in range(_OUTSIDE_ATTEMPTS):
                try:
                    return execute(self, command, *args, **kwargs)
                except duckdb.TransactionException as error:
                    # Alone in its transaction, a statement can simply be repeated.
                    if transactions.is_open(self._conn) or attempt == _OUTSIDE_ATTEMPTS - 1:
                        raise ProgrammingError(
                            f"Statement aborted, another transaction holds the lock: {error}",
                            errno=LOCKED,
                            sqlstate="57014",
                        ) from error
                    time.sleep(0.05)
            raise AssertionError("unreachable")
        finally:
            transactions.leave(self._conn)

    FakeSnowflakeCursor.execute = guarded  # type: ignore[method-assign]


class _Transactions:
    """The explicit transactions that are open, and when each was used last; None while it runs a statement."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        # Weak, because a session that is closed ends its transaction by being forgotten.
        self._used: WeakKeyDictionary[FakeSnowflakeConnection, float | None] = WeakKeyDictionary()
        self._aborted: WeakSet[FakeSnowflakeConnection] = WeakSet()

    def enter(self, connection: "FakeSnowflakeConnection", command: str) -> bool:
        """Note that `connection` starts a statement; whether its transaction was aborted before it."""
        verb = command.split(maxsplit=1)[0].upper().rstrip(";") if command.strip() else ""
        with self._lock:
            self._abort_idle(connection)
            if verb in ("BEGIN", "START"):
                self._aborted.discard(connection)
                self._used[connection] = None
            elif verb in ("COMMIT", "ROLLBACK"):
                self._used.pop(connection, None)
                if connection in self._aborted:
                    self._aborted.discard(connection)
                    return verb == "COMMIT"
            elif connection in self._used:
                self._used[connection] = None
            return connection in self._aborted

    def leave(self, connection: "FakeSnowflakeConnection") -> None:
        with self._lock:
            if connection in self._used:
                self._used[connection] = time.monotonic()

    def is_open(self, connection: "FakeSnowflakeConnection") -> bool:
        return connection in self._used

    def _abort_idle(self, current: "FakeSnowflakeConnection") -> None:
        oldest = time.monotonic() - self._idle_seconds
        for connection, used in list(self._used.items()):
            if connection is not current and used is not None and used < oldest:
                del self._used[connection]
                self._aborted.add(connection)
                connection._duck_conn.rollback()
