"""What of Dagster becomes an alert: for the sensors, and for the watchdog beside Dagster."""
