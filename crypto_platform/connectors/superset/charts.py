"""Whether every chart of the code answers: each one's query, by Superset's API, with no filter chosen."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crypto_platform.connectors.superset import code
from crypto_platform.connectors.superset.client import Client
from crypto_platform.connectors.superset.home import SupersetError

ROW_LIMIT = 10_000


@dataclass(frozen=True)
class Answer:
    """What a chart's query gave: rows, seconds of wall time, and the error, empty when it answered."""

    chart: str
    rows: int
    seconds: float
    error: str = ""


def ask(client: Client, files: code.Files) -> Iterator[Answer]:
    """The answer of each chart in `files`, as they come; one that fails never ends the rest."""
    for uuid, title in code.charts(files).items():
        started = time.monotonic()
        try:
            shown, error = len(rows(client, uuid)), ""
        except SupersetError as refused:
            shown, error = 0, str(refused)
        yield Answer(title, shown, time.monotonic() - started, error)


def rows(
    client: Client, uuid: str, chosen: Mapping[str, str] | None = None, time_range: str = "No filter"
) -> list[dict[str, Any]]:
    """What a chart shows where a page's filters chose these values by column, and this time range.

    Raises:
        SupersetError: the query fails.
    """
    found = client.get(f"chart/{uuid}").json()["result"]
    params = json.loads(found["params"])
    question = query(params)
    for own in question["filters"]:
        if own["op"] == "TEMPORAL_RANGE":
            own["val"] = time_range
    question["filters"] += [{"col": column, "op": "IN", "val": [value]} for column, value in (chosen or {}).items()]
    context = {
        "datasource": {"id": int(params["datasource"].split("__")[0]), "type": "table"},
        "force": True,
        "queries": [question | {"time_range": time_range}],
        "form_data": {**params, "slice_id": found["id"]},
        "result_format": "json",
        "result_type": "full",
    }
    results = client.post("chart/data", json=context).json()["result"]
    if errors := [result["error"] for result in results if result.get("error")]:
        raise SupersetError("; ".join(errors))
    return [row for result in results for row in result["data"]]


def query(params: dict[str, Any]) -> dict[str, Any]:
    """A chart's parameters as the query its page asks: columns, metrics and its own filters."""
    filters = params.get("adhoc_filters", [])
    raw = params.get("query_mode") == "raw"
    axis = [params[name] for name in ("x_axis", "column") if params.get(name)]
    return {
        "columns": params["all_columns"] if raw else [*axis, *_several(params.get("groupby"))],
        "metrics": [] if raw else _several(params.get("metrics") or params.get("metric")),
        "orderby": [json.loads(order) for order in params.get("order_by_cols", [])],
        "filters": [
            {"col": f["subject"], "op": f["operator"], "val": f.get("comparator")}
            for f in filters
            if f["expressionType"] == "SIMPLE"
        ],
        "extras": {"where": " AND ".join(f"({f['sqlExpression']})" for f in filters if f["expressionType"] == "SQL")},
        "row_limit": params.get("row_limit") or ROW_LIMIT,
    }


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
