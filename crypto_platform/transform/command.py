"""The command `crypto-platform-dbt`: dbt as it is, started in less than two thirds of the time, or by a fork.

`python -m crypto_platform.transform.command` is the server that is forked.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from crypto_platform.connectors.snowflake.threads import ready_for_threads
from crypto_platform.gc_tuning import collect_rarely
from crypto_platform.transform import fork_server
from crypto_platform.transform.dataclass_code import compile_when_used

# What Snowflake's connector imports where it is there, for DataFrames and logins from AWS; dbt's SQL needs neither.
LEFT_OUT = ("pandas", "boto3", "botocore")
# How often the server tries to parse the project: what is known of it is of another address the first time.
_TRIES = 2


def main() -> None:
    # Known to every process that a run or a command line starts.
    home = os.environ.get("CRYPTO_PLATFORM_HOME")
    code = fork_server.carried_out(_folder(Path(home))) if home else None
    if code is None:
        _imported()()
    else:
        sys.exit(code)


def serve(tried: int) -> None:
    """Carry out what `main` of other processes asks for, in forks of this process."""
    folder = _folder(Path(os.environ["CRYPTO_PLATFORM_HOME"]))
    try:
        sys.exit(fork_server.serve(folder, _imported(), _parsed if tried < _TRIES else lambda folders: False))
    except fork_server.ThreadsBegunError as begun:
        print(f"{begun}, which forks would wait for: begun anew", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, "-m", "crypto_platform.transform.command", str(tried + 1)])  # noqa: S606


def _parsed(folders: list[str]) -> bool:
    """Parse the project as far as it has changed since it was parsed; False where that is not known."""
    from dbt.cli.main import dbtRunner

    # With the settings, a quarter of a second that a caller is not to pay.
    from crypto_platform.transform.paths import PARTIAL_PARSE

    target = dict(zip(folders[::2], folders[1::2], strict=True)).get("--target-path", "target")
    # All of it is parsed by dbt_extractor, which has threads.
    return Path(target, PARTIAL_PARSE).exists() and dbtRunner().invoke(["--quiet", "parse", *folders]).success


def _folder(home: Path) -> Path:
    return home / "sandbox" / "dbt"


def _imported() -> Callable[[], None]:
    """dbt's command line."""
    collect_rarely()
    # Python's own mark of a module that is not to be found:
    # https://docs.python.org/3/reference/import.html#the-module-cache
    sys.modules.update(dict.fromkeys(LEFT_OUT))  # type: ignore[arg-type]
    compile_when_used()
    # Before dbt's threads, whose connections are dbt's own.
    ready_for_threads()
    from dbt.cli.main import cli

    return cli


if __name__ == "__main__":
    serve(int(sys.argv[1]) if sys.argv[1:] else 0)
