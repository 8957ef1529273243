"""What the alerts' tests have, for their commands."""

from crypto_platform_tests.alerting.conftest import alert_settings as alert_settings
from crypto_platform_tests.alerting.conftest import http as http
