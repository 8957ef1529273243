"""What the monitoring's tests have, for the limit of a run."""

from crypto_platform_tests.monitoring.conftest import watched as watched
