"""The settings of this process, put back after a test."""

from crypto_platform_tests.orchestration.conftest import in_force as in_force
