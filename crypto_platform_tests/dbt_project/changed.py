"""The models that a change touches, built on empty tables: `make changed`, one step of continuous integration.

The state to compare with is the manifest of the commit that the change began at; dbt's selector `changed` does the
rest.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from crypto_platform.connectors.snowflake import connection, schema
from crypto_platform.market.feed_spec import feeds
from crypto_platform.settings import PROJECT_ROOT, Settings
from crypto_platform.transform.paths import PROJECT_DIR, script


def base(repository: Path) -> str | None:
    """The commit that HEAD's change began at: where it left main, or on main itself the commit before it.

    None when that is not known: no repository, no commit before (a first commit, a shallow clone).
    """
    head = _git(repository, "rev-parse", "--verify", "HEAD")
    for main in ("origin/main", "main"):
        left = _git(repository, "merge-base", main, "HEAD")
        if left and left != head:
            return left
    return _git(repository, "rev-parse", "--verify", "HEAD~1")


def state(repository: Path, commit: str, folder: Path) -> Path | None:
    """Make the manifest of the project as it was at `commit`, in `folder`; returns dbt's `--state`.

    None when the commit has no dbt project.

    Raises:
        subprocess.CalledProcessError: dbt could not parse it; its own output says why.
    """
    command = ["git", "archive", commit, PROJECT_DIR.name]
    archive = subprocess.run(command, cwd=repository, capture_output=True, check=False, timeout=60)
    if archive.returncode:
        return None
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    dbt(folder / PROJECT_DIR.name, "parse", "--target-path", str(folder / "state"))
    return folder / "state"


def touched(project: Path, found: Path | None) -> list[str]:
    """The models and snapshots of a project that changed since the state or depend on what did; all without a state.

    Raises:
        subprocess.CalledProcessError: dbt failed.
    """
    chosen = ["--selector", "changed", "--state", str(found)] if found else []
    kinds = ["--resource-type", "model", "--resource-type", "snapshot"]
    return dbt(project, "list", *kinds, "--output", "name", *chosen).split()


def dbt(project: Path, command: str, *options: str) -> str:
    """Run a dbt command and return what it printed.

    Raises:
        subprocess.CalledProcessError: it failed; it has printed why.
    """
    arguments = [script(), "--quiet", command, "--profiles-dir", str(project), *options]
    done = subprocess.run(arguments, cwd=project, stdout=subprocess.PIPE, text=True, check=False, timeout=1800)
    if done.returncode:
        print(done.stdout)
        done.check_returncode()
    return done.stdout


def main() -> None:
    """Build them, what depends on them and what these read, in an embedded Snowflake of its own.

    Ends with exit code 1 when dbt fails.
    """
    from crypto_platform.sandbox import supervise

    with tempfile.TemporaryDirectory(prefix="changed-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        commit = base(PROJECT_ROOT)
        found = commit and state(PROJECT_ROOT, commit, folder)
        print(f"What changed since {commit[:12]}:" if commit and found else "No commit to compare with; all models:")
        own = Settings(crypto_platform_home=folder / "home", snowflake_account=None, sandbox_snowflake_port=0)
        try:
            names = touched(PROJECT_DIR, found or None)
            print("\n".join(names) or "no model")
            if names:
                with supervise.sandbox(own, {"snowflake"}) as effective:
                    os.environ.update(effective.environment())
                    _create_raw_tables(effective)
                    target = ["--target-path", str(folder / "target"), "--log-path", str(folder / "logs")]
                    # With what they read, since the emulator is empty, and the tests that read nothing else.
                    options = ["--empty", "--indirect-selection", "buildable", *target]
                    dbt(PROJECT_DIR, "build", *options, "--select", *(f"+{name}" for name in names))
        except subprocess.CalledProcessError:
            sys.exit(1)


def _create_raw_tables(settings: Settings) -> None:
    """Those that loads write to, empty: dbt's sources."""
    with connection.connect(settings) as session:
        for feed in feeds():
            schema.ensure_schema(session, feed)


def _git(repository: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=repository, capture_output=True, text=True, check=False, timeout=60
        )
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


if __name__ == "__main__":
    main()
