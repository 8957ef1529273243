"""Dagster's GraphQL, as its web server answers it."""

from typing import Any

import requests

from crypto_platform.settings import Settings

TIMEOUT_SECONDS = 30.0


class GraphQLError(RuntimeError):
    """The web server does not answer, or not what was asked for."""


def session(settings: Settings) -> requests.Session:
    """One to the web server; the environment's proxies are for one that runs elsewhere."""
    made = requests.Session()
    made.trust_env = (settings.dagster_server_url or settings.dagster_ui_url) is not None
    return made


def ask(settings: Settings, query: str, **variables: Any) -> dict[str, Any]:
    """The `data` of the answer.

    Raises:
        GraphQLError: there is none; says why.
    """
    with session(settings) as asking:
        try:
            body = {"query": query, "variables": variables}
            answer = asking.post(f"{settings.server_url}/graphql", json=body, timeout=TIMEOUT_SECONDS).json()
        except requests.RequestException as error:
            raise GraphQLError(
                f"Dagster's web server does not answer at {settings.server_url} ({type(error).__name__}): start it "
                "with crypto-platform up"
            ) from None
    if errors := answer.get("errors"):
        raise GraphQLError("; ".join(error["message"] for error in errors))
    return answer["data"]
