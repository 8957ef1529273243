"""DAGSTER_HOME: where Dagster's instance keeps its runs, with the project's `dagster.yaml` in force.

``python -m crypto_platform.dagster_instance.home`` makes it, where Dagster's own programs are started, and prints
its path.
"""

import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

import yaml

from crypto_platform.settings import PROJECT_ROOT, Settings

_POSTGRES = (
    ("run_storage", "dagster_postgres.run_storage", "PostgresRunStorage"),
    ("schedule_storage", "dagster_postgres.schedule_storage", "PostgresScheduleStorage"),
    ("event_log_storage", "crypto_platform.dagster_instance.postgres_event_log", "PooledPostgresEventLogStorage"),
)
_MADE = "# Made from the project's dagster.yaml and made again when that changes; without this line it is yours.\n"


class RunLauncherFileError(ValueError):
    """DAGSTER_RUN_LAUNCHER_FILE is no file with a run launcher."""


def dagster_home(settings: Settings) -> Path:
    """The folder to set DAGSTER_HOME to, with a `dagster.yaml` of the project's, the storage and the run launcher.

    Postgres's address stays in the environment. A `dagster.yaml` of one's own that lies there already stays. What a
    release before recorded is renamed once.

    Raises:
        RunLauncherFileError: DAGSTER_RUN_LAUNCHER_FILE cannot be read, or holds something else.
    """
    folder = (settings.dagster_home or settings.crypto_platform_home / "dagster").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dagster.yaml"
    project = (PROJECT_ROOT / "dagster.yaml").read_text()
    content = f"{_MADE}{project}{_run_launcher(settings)}{_storage(settings, folder)}"
    present = path.read_text() if path.exists() else _MADE
    if present.startswith(_MADE) and present != content:
        # Whole at once: several programs may be starting.
        with NamedTemporaryFile("w", dir=folder, prefix=".dagster.yaml.", delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)
    _rename_assets(folder)
    return folder


def _rename_assets(folder: Path) -> None:
    index, done = folder / "history" / "runs" / "index.db", folder / ".assets-renamed"
    if index.exists() and not done.exists():
        from crypto_platform.dagster_instance.renamed_assets import rename_assets

        rename_assets(f"sqlite:///{index}")
        done.touch()


def main() -> None:
    """Make the home, rename in Postgres what a release before recorded there, and print the home's path."""
    settings = Settings()
    try:
        home = dagster_home(settings)
    except RunLauncherFileError as error:
        sys.exit(str(error))
    if settings.dagster_postgres_url:
        from crypto_platform.dagster_instance.renamed_assets import rename_assets

        rename_assets(settings.dagster_postgres_url.get_secret_value())
    print(home)


def _run_launcher(settings: Settings) -> str:
    path = settings.dagster_run_launcher_file
    if path is None:
        # Tells the monitoring whether a run's process still lives.
        module = "crypto_platform.dagster_instance.run_launcher"
        return f"run_launcher:\n  module: {module}\n  class: HealthCheckedRunLauncher\n"
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RunLauncherFileError(f"DAGSTER_RUN_LAUNCHER_FILE, {path}, cannot be read: {error}") from error
    if not isinstance(found, dict) or list(found) != ["run_launcher"]:
        raise RunLauncherFileError(
            f"DAGSTER_RUN_LAUNCHER_FILE, {path}, must hold `run_launcher` with `module` and `class`, and nothing else"
        )
    return yaml.safe_dump(found)


def _storage(settings: Settings, folder: Path) -> str:
    if settings.dagster_postgres_url:
        return "".join(
            f"{part}:\n  module: {module}\n  class: {name}\n"
            "  config:\n    postgres_url:\n      env: DAGSTER_POSTGRES_URL\n"
            for part, module, name in _POSTGRES
        )
    return (
        "event_log_storage:\n  module: crypto_platform.dagster_instance.event_log_storage\n"
        "  class: CompactSqliteEventLogStorage\n"
        f"  config:\n    base_dir: {folder / 'history' / 'runs'}\n"
    )


if __name__ == "__main__":
    main()
