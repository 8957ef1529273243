"""JSON answers in Alpaca's form."""

import orjson
from starlette.responses import Response

JSON = "application/json"


def json_response(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type=JSON)


def message(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """An error as Alpaca words it: `{"message": …}`."""
    return json_response(status, {"message": text}, headers)
