"""`crypto-platform alerts`: test the channels, list what is open, resolve one."""

import shlex
from datetime import UTC, datetime

import typer

app = typer.Typer(name="alerts", no_args_is_help=True, help="Test the alert channels, list open alerts, resolve one.")


@app.command()
def test() -> None:
    """Send one message through each configured channel and report the delivery. Exit code 1: one failed.

    Example: crypto-platform alerts test
    """
    from crypto_platform.alerting.alert import Alert
    from crypto_platform.alerting.channels import ChannelUnavailableError, MessageRejectedError, configured
    from crypto_platform.alerting.message import Event, Item, Message
    from crypto_platform.settings import settings

    now, failed = datetime.now(UTC), False
    alert = Alert(
        fingerprint="test",
        kind="test",
        summary="a test of this channel, nothing is wrong",
        started_at=now,
        cause="somebody ran this command",
        remediation="crypto-platform alerts test",
    )
    channels = configured(settings())
    if not channels:
        typer.echo("No channel is configured: see ALERT_URLS in .env.example.", err=True)
        raise typer.Exit(1)
    for channel in channels:
        try:
            channel.post(
                Message(
                    [Item(Event.TEST, alert, now, settings().alert_runbook_url)],
                    key=f"{channel.name}-test-{now.timestamp():.0f}",
                )
            )
        except (ChannelUnavailableError, MessageRejectedError) as error:
            failed = True
            typer.echo(f"✗ {channel.name}: {error}")
        else:
            typer.echo(f"✓ {channel.name}: delivered")
    raise typer.Exit(1 if failed else 0)


@app.command("list")
def list_() -> None:
    """List the open alerts, the most severe first, and the notifications that a channel has not received yet.

    Example: crypto-platform alerts list
    """
    from crypto_platform.alerting.manager import AlertManager
    from crypto_platform.alerting.message import Event, Item, Message
    from crypto_platform.settings import settings

    manager, runbooks = AlertManager(settings()), settings().alert_runbook_url
    incidents = manager.open()
    for incident in incidents:
        message = Message([Item(Event.FIRING, incident.alert, incident.opened_at, runbooks)], key="")
        typer.echo(f"{message.text}\n  fingerprint  {shlex.quote(incident.alert.fingerprint)}\n")
    typer.echo(f"{len(incidents)} open." if incidents else "Nothing is open.")
    for channel in manager.pending():
        if channel.messages or channel.error:
            why = f", last: {channel.error}" if channel.error else ""
            typer.echo(f"{channel.channel}: {channel.messages} messages waiting{why}")


@app.command()
def resolve(fingerprint: str = typer.Argument(help="As `crypto-platform alerts list` shows it.")) -> None:
    """Resolve an alert that nothing else will resolve, such as of a run that nobody needs again.

    It is reported as resolved. A process, sensor, schedule, freshness or the live path is opened again while it is
    still wrong; a run, backfill or check only when it fails again.

    Example: crypto-platform alerts resolve 'run:crypto:[2026-03-01, 2026-03-04):'
    """
    from crypto_platform.alerting.manager import AlertManager
    from crypto_platform.settings import settings

    if not AlertManager(settings()).recover("command line", fingerprint):
        typer.echo(f"{fingerprint} is not open: see crypto-platform alerts list", err=True)
        raise typer.Exit(1)
    typer.echo("Resolved.")
