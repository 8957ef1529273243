"""What the emulator lacks of QUERY_HISTORY: how many statements it was sent, by the component of their query tags."""

import gzip
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class Counted:
    """The handler `run` of statements, with the count, the first start and the last end of each component."""

    def __init__(self, run: "Callable[[Request], Awaitable[Response]]") -> None:
        self._run = run
        self._counts: dict[str | None, tuple[int, float, float]] = {}

    async def __call__(self, request: "Request") -> "Response":
        component, began = _component(await request.body(), request.headers.get("Content-Encoding")), time.time()
        try:
            return await self._run(request)
        finally:
            count, first, _ = self._counts.get(component, (0, began, began))
            self._counts[component] = count + 1, first, time.time()

    @property
    def counts(self) -> list[tuple[str | None, int, float, float]]:
        """Component (None: without a tag), count, first start and last end in seconds since 1970."""
        return [(component, *figures) for component, figures in self._counts.items()]


def _component(body: bytes, encoding: str | None) -> str | None:
    """The component of a statement's request, None of one without a tag of ours."""
    try:
        content: Any = json.loads(gzip.decompress(body) if encoding == "gzip" else body)
        found = json.loads(content["parameters"]["QUERY_TAG"])["component"]
        return found if isinstance(found, str) else None
    except (ValueError, KeyError, TypeError, OSError):
        return None
