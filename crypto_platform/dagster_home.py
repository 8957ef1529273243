"""DAGSTER_HOME: where Dagster's instance keeps its runs, with the project's `dagster.yaml` in force."""

from pathlib import Path

from crypto_platform.settings import PROJECT_ROOT, Settings


def dagster_home(settings: Settings) -> Path:
    """The folder to set DAGSTER_HOME to; made on the first call, and again when `dagster.yaml` moved.

    A `dagster.yaml` of one's own that lies there already, such as one with Postgres storage, stays.
    """
    folder = settings.dagster_home or settings.crypto_platform_home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    source, link = PROJECT_ROOT / "dagster.yaml", folder / "dagster.yaml"
    if link.is_symlink() and link.readlink() != source:
        link.unlink()
    if not link.exists():
        link.symlink_to(source)
    return folder
