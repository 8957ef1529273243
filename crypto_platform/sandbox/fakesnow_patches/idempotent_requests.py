"""What the emulator lacks of Snowflake's requests: one that is sent again is answered, not run again.

The connector sends a statement again, with the same requestId, when no answer came within a minute or the line broke
(https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests#resubmitting-a-request-to-execute-sql-statements).
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# A session waits for one answer before its next statement; a few may share it.
ANSWERS_KEPT = 4
_OK = 200


class Once:
    """The handler `run`, called once for a session's requestId; whoever sends it again gets the answer of the first.

    An answer that is an HTTP error is not kept: the connector sends it again to have it run again.
    """

    def __init__(self, run: "Callable[[Request], Awaitable[Response]]") -> None:
        self._run = run
        self._answers: defaultdict[str, OrderedDict[str, asyncio.Task[Response]]] = defaultdict(OrderedDict)

    async def __call__(self, request: "Request") -> "Response":
        session, request_id = request.headers.get("Authorization", ""), request.query_params.get("requestId")
        if request_id is None:
            return await self._run(request)
        answers = self._answers[session]
        if request_id not in answers:
            # The body is read while the client is there; the statement goes on when it has left.
            await request.body()
            answers[request_id] = asyncio.ensure_future(self._run(request))
            for old in [known for known, answer in answers.items() if answer.done()][:-ANSWERS_KEPT]:
                del answers[old]
        answer = answers[request_id]
        try:
            response = await asyncio.shield(answer)
        except Exception:
            answers.pop(request_id, None)
            raise
        if response.status_code != _OK:
            answers.pop(request_id, None)
        return response

    def forget(self, session: str) -> None:
        """Drop the answers of a session (its Authorization header) that has ended."""
        self._answers.pop(session, None)
