"""The command `crypto-platform-dbt`: dbt as it is, started in less than two thirds of the time."""

import sys

from crypto_platform.connectors.snowflake.threads import ready_for_threads
from crypto_platform.gc_tuning import collect_rarely

# What Snowflake's connector imports where it is there, for DataFrames and logins from AWS; dbt's SQL needs neither.
LEFT_OUT = ("pandas", "boto3", "botocore")


def main() -> None:
    collect_rarely()
    # Python's own mark of a module that is not to be found:
    # https://docs.python.org/3/reference/import.html#the-module-cache
    sys.modules.update(dict.fromkeys(LEFT_OUT))  # type: ignore[arg-type]
    from mashumaro.config import BaseConfig

    # dbt's hundreds of dataclasses write their own code to read and write themselves: each when it is first used.
    BaseConfig.lazy_compilation = True
    # Before dbt's threads, whose connections are dbt's own.
    ready_for_threads()
    from dbt.cli.main import cli

    cli()
