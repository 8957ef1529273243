"""Links into Dagster's UI."""

from urllib.parse import quote

import dagster as dg

from crypto_platform.settings import CODE_LOCATION, Settings


class Links:
    """Addresses of pages, such as a person opens from a message."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.ui_url
        name = CODE_LOCATION
        self._repository = f"{self._base}/locations/{dg_repository(name)}"

    def run(self, run_id: str) -> str:
        return f"{self._base}/runs/{run_id}"

    def backfill(self, backfill_id: str) -> str:
        return f"{self._base}/runs/b/{backfill_id}"

    def asset(self, key: dg.AssetKey) -> str:
        return f"{self._base}/assets/{_path(key)}"

    def check(self, key: dg.AssetCheckKey) -> str:
        return f"{self.asset(key.asset_key)}?view=checks&checkDetail={quote(key.name, safe='')}"

    def group(self, name: str) -> str:
        return f"{self._repository}/asset-groups/{quote(name, safe='')}"

    def sensor(self, name: str) -> str:
        return f"{self._repository}/sensors/{quote(name, safe='')}"

    def schedule(self, name: str) -> str:
        return f"{self._repository}/schedules/{quote(name, safe='')}"

    def health(self) -> str:
        return f"{self._base}/deployment/daemons"

    def locations(self) -> str:
        return f"{self._base}/deployment/locations"


def dg_repository(location: str) -> str:
    """How the UI names the one repository of a code location of definitions."""
    return f"__repository__@{location}"


def _path(key: dg.AssetKey) -> str:
    return "/".join(quote(part, safe="") for part in key.path)
