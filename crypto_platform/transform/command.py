"""The command `crypto-platform-dbt`: dbt as it is, started in two thirds of the time."""

from crypto_platform.garbage import collect_rarely


def main() -> None:
    collect_rarely()
    from dbt.cli.main import cli

    cli()
