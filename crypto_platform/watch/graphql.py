"""Dagster's GraphQL, as its web server answers it."""

from typing import Any

import requests

from crypto_platform.settings import Settings

TIMEOUT_SECONDS = 30.0


class GraphQLError(RuntimeError):
    """The web server does not answer, or not what was asked for."""


def ask(settings: Settings, query: str, **variables: Any) -> dict[str, Any]:
    """The `data` of the answer.

    Raises:
        GraphQLError: there is none; says why.
    """
    with requests.Session() as session:
        session.trust_env = settings.dagster_ui_url is not None
        try:
            body = {"query": query, "variables": variables}
            answer = session.post(f"{settings.ui_url}/graphql", json=body, timeout=TIMEOUT_SECONDS).json()
        except requests.RequestException as error:
            raise GraphQLError(
                f"Dagster's web server does not answer at {settings.ui_url} ({type(error).__name__}): start it with "
                "crypto-platform up"
            ) from None
    if errors := answer.get("errors"):
        raise GraphQLError("; ".join(error["message"] for error in errors))
    return answer["data"]
