"""A statement that the connector sends again, and what the emulator tells of timestamps that are NULL."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from crypto_platform.connectors.snowflake.connection import connect
from crypto_platform.sandbox.fakesnow_patches.idempotent_requests import ANSWERS_KEPT, Once
from crypto_platform.settings import Settings
from crypto_platform_tests.connectors.snowflake.relay import cutting_relay


def request(number: int, session: str = "one") -> Request:
    async def body() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": f"requestId={number}".encode(),
        "headers": [(b"authorization", session.encode())],
    }
    return Request(scope, body)


class Handler:
    """Counts its calls; the first `failures` answers are HTTP errors."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self.failures = failures
        self.go_on = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.calls += 1
        number = self.calls
        await self.go_on.wait()
        return Response(str(number), status_code=500 if number <= self.failures else 200)


def test_sent_again_while_it_runs_it_runs_once_also_when_the_first_asker_left() -> None:
    """https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests#resubmitting-a-request-to-execute-sql-statements"""

    async def check() -> None:
        handler = Handler()
        once = Once(handler)
        first, second = (asyncio.ensure_future(once(request(1))) for _ in range(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        handler.go_on.set()
        assert (await second).body == b"1"
        assert (await once(request(1))).body == b"1"
        assert (await once(request(1, session="other"))).body == b"2"
        assert (await once(request(2))).body == b"3"

    asyncio.run(check())


def test_an_error_is_run_again_and_old_answers_go() -> None:
    """https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests#resubmitting-a-request-to-execute-sql-statements"""

    async def check() -> None:
        handler = Handler(failures=1)
        handler.go_on.set()
        once = Once(handler)
        assert (await once(request(1))).status_code == 500
        assert (await once(request(1))).body == b"2"
        for number in range(2, 2 + ANSWERS_KEPT + 1):
            await once(request(number))
        calls = handler.calls
        await once(request(1))
        assert handler.calls == calls + 1
        once.forget("one")
        await once(request(1))
        assert handler.calls == calls + 2

    asyncio.run(check())


def test_an_insert_whose_answer_was_lost_inserts_once(sandbox: Settings) -> None:
    """https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests#resubmitting-a-request-to-execute-sql-statements"""
    with connect(sandbox) as connection:
        connection.cursor().execute("create schema if not exists resent_test")
        connection.cursor().execute("create or replace table resent_test.t (n integer)")
    with cutting_relay(sandbox.sandbox_snowflake_port, "^insert into resent_test", "resend") as relay:
        with connect(sandbox.model_copy(update={"sandbox_snowflake_port": relay.server_port})) as connection:
            assert connection.cursor().execute("insert into resent_test.t values (1)").rowcount == 1
        assert relay.fired
        assert len(relay.request_ids) == 2
        assert len(set(relay.request_ids)) == 1
    with connect(sandbox) as connection:
        assert connection.cursor().execute("select count(*) from resent_test.t").fetchall() == [(1,)]


@pytest.mark.parametrize("type_", ["timestamp_ntz", "timestamp_tz"])
def test_a_timestamp_that_is_null_is_none(sandbox: Settings, type_: str) -> None:
    """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api#data-type-mappings"""
    with connect(sandbox) as connection:
        rows = connection.cursor().execute(
            f"select cast(v as {type_}) as t from values ('2026-03-01 12:00:00.5'), (null), ('1970-01-01') as x (v)"
        )
        found = [row[0] and row[0].replace(tzinfo=None) for row in rows.fetchall()]
    assert found == [datetime(2026, 3, 1, 12, 0, 0, 500_000), None, datetime(1970, 1, 1)]  # noqa: DTZ001
