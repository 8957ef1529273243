"""Superset's REST API as an administrator. https://superset.apache.org/docs/api"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from crypto_platform.connectors.superset.home import MEND, SupersetError, login
from crypto_platform.settings import Settings

SECONDS = 120


def url(settings: Settings) -> str:
    """Superset's address, without a slash at its end."""
    return (settings.superset_url or f"http://127.0.0.1:{settings.superset_port}").rstrip("/")


class Client:
    """A session that is logged in."""

    def __init__(self, base: str, session: requests.Session) -> None:
        self.base = base
        self._session = session

    def get(self, path: str, **parameters: Any) -> requests.Response:
        """`GET /api/v1/path`.

        Raises:
            SupersetError: it is refused; the message is Superset's.
        """
        return self._checked(self._session.get(f"{self.base}/api/v1/{path}", params=parameters, timeout=SECONDS))

    def post(self, path: str, **content: Any) -> requests.Response:
        """`POST /api/v1/path` with `json=`, `files=` or `data=`.

        Raises:
            SupersetError: it is refused; the message is Superset's.
        """
        return self._checked(self._session.post(f"{self.base}/api/v1/{path}", timeout=SECONDS, **content))

    @staticmethod
    def _checked(answer: requests.Response) -> requests.Response:
        if not answer.ok:
            raise SupersetError(f"Superset answers {answer.status_code} to {answer.url}: {_said(answer)}")
        return answer


@contextmanager
def connect(settings: Settings) -> Iterator[Client]:
    """Log in as the administrator.

    Raises:
        SupersetError: Superset does not answer, or refuses the login; the message says what to do.
    """
    base, who = url(settings), login(settings)
    credentials = {"username": who.username, "password": who.password.get_secret_value(), "provider": "db"}
    with requests.Session() as session:
        # Otherwise errors come as pages for a person.
        session.headers["Accept"] = "application/json"
        try:
            answer = session.post(f"{base}/api/v1/security/login", json=credentials, timeout=SECONDS)
        except requests.ConnectionError:
            raise SupersetError(
                f"no Superset answers at {base}: start it with `crypto-platform up --dashboard` or `make dashboard`; "
                f"where it was never installed, {MEND}"
            ) from None
        if not answer.ok:
            raise SupersetError(
                f"Superset at {base} refuses the login of {who.username} ({_said(answer)}): "
                "see SUPERSET_USERNAME and SUPERSET_PASSWORD"
            )
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        client = Client(base, session)
        session.headers["X-CSRFToken"] = client.get("security/csrf_token/").json()["result"]
        session.headers["Referer"] = base
        yield client


def _said(answer: requests.Response) -> str:
    try:
        content = answer.json()
    except requests.JSONDecodeError:
        return answer.reason
    errors = [error.get("message", "") for error in content.get("errors", [])]
    extra = [str(error["extra"]) for error in content.get("errors", []) if error.get("extra")]
    return "; ".join([*errors, *extra]) or str(content.get("message", content))
