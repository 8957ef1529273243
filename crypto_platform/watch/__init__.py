"""What of Dagster becomes an alert: functions of its instance, which the sensors and the watchdog call."""
