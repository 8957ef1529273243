"""Alerts: what is wrong, since when, how bad, and the command that resolves it, sent to every configured channel.

Plain Python without Dagster. Whoever notices something gives it to the manager, which keeps it in a small database and
posts it, so that nothing is lost with the process that noticed::

    from crypto_platform.alerting.alert import Alert, Severity
    from crypto_platform.alerting.manager import AlertManager

    manager = AlertManager(settings())
    manager.observe("stream:crypto", [Alert(fingerprint="stream:crypto:lag", kind="stream lag", ...)])
    manager.deliver()

`observe(source, current)` takes all that is wrong now as far as `source` can see: what is new is opened, what is known
is kept, what is gone has recovered; what the source names as undecided stays as it is. `raise_(source, alert)` and
`recover(source, fingerprint)` do the same for one at a time. A fingerprint is one condition: as long as it is open it
is sent once (again when it gets worse, and every ALERT_REPEAT_INTERVAL_HOURS), its recovery is sent once. One that
opens again within ALERT_COOLDOWN_SECONDS of its last post waits until these are over. More than ALERT_MAX_PER_MINUTE
messages within a minute become one digest.

`deliver()` posts what is due and returns; the sensors and the watchdog call it every few seconds, so a process that
only observes need not. Any number of processes may do so at once. A post is at least once for every channel: a
process that dies between a post and its commit posts again.
"""
