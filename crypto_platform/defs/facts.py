"""The checks over all feeds' facts."""

from crypto_platform.orchestration.checks.facts import fact_checks_of_a_run

__all__ = ["fact_checks_of_a_run"]
