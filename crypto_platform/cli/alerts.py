"""`crypto-platform alerts`: test the channels; see, acknowledge, silence and resolve what is open."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

import typer

app = typer.Typer(
    name="alerts",
    no_args_is_help=True,
    help="Alerts: test the channels; see, acknowledge, silence and resolve what is open.",
)

Fingerprint = Annotated[str, typer.Argument(help="As `crypto-platform alerts list` shows it.")]
By = Annotated[str, typer.Option(envvar=["LOGNAME", "USER"], help="Your name.")]
Note = Annotated[str, typer.Option(help="Shown beside your name.")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


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
    """List the open alerts, the most severe first, who acknowledged them, what is silenced and what is not sent yet.

    Example: crypto-platform alerts list
    """
    from crypto_platform.alerting.manager import AlertManager
    from crypto_platform.alerting.message import Event, Item, Message, as_text
    from crypto_platform.settings import settings

    manager, runbooks = AlertManager(settings()), settings().alert_runbook_url
    incidents = manager.open()
    for incident in incidents:
        message = Message([Item(Event.FIRING, incident.alert, incident.opened_at, runbooks)], key="")
        fields = [*message.fields, ("fingerprint", shlex.quote(incident.alert.fingerprint))]
        if incident.acknowledged_at:
            who = f"by {incident.acknowledged_by}, {_clock(incident.acknowledged_at)}"
            fields.append(("acknowledged", f"{who}: {incident.note}" if incident.note else who))
        if incident.silenced_until:
            fields.append(("silenced", f"until {_clock(incident.silenced_until)}"))
        typer.echo(f"{as_text(message.title, fields)}\n")
    typer.echo(f"{len(incidents)} open." if incidents else "Nothing is open.")
    for channel in manager.pending():
        if channel.messages or channel.error:
            why = f", last: {channel.error}" if channel.error else ""
            typer.echo(f"{channel.channel}: {channel.messages} messages waiting{why}")


@app.command()
def acknowledge(fingerprint: Fingerprint, by: By = "unknown", note: Note = "") -> None:
    """Send no reminders of an alert until it is resolved or escalates: somebody is at it.

    Example: crypto-platform alerts acknowledge 'run:crypto:[2026-03-01, 2026-03-04):' --note 'waits for Alpaca'
    """
    from crypto_platform.alerting.manager import AlertManager
    from crypto_platform.settings import settings

    if not AlertManager(settings()).acknowledge(fingerprint, by, note):
        typer.echo(f"{fingerprint} is not open: see crypto-platform alerts list", err=True)
        raise typer.Exit(1)
    typer.echo(f"Acknowledged by {by}.")


@app.command()
def silence(
    feed: Annotated[str, typer.Option(help="Of this feed alone.")] = "",
    kind: Annotated[str, typer.Option(help="Of this kind alone, as docs/runbooks names it.")] = "",
    fingerprint: Annotated[str, typer.Option(help="This one alone.")] = "",
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")] = "",
    until: Annotated[str, typer.Option(help="Until when: 2026-03-29T18:00, UTC unless a zone is given.")] = "",
    by: By = "unknown",
    note: Note = "",
) -> None:
    """Send nothing of what matches until an end; what still fires then is sent. All that is given has to match.

    What fires in the meantime is recorded, and in `crypto-platform alerts list`.

    Example: crypto-platform alerts silence --feed crypto --kind 'load lag' --for 2h --note 'Snowflake is serviced'
    """
    from crypto_platform.alerting.alert import Kind
    from crypto_platform.alerting.manager import AlertManager
    from crypto_platform.settings import settings

    if kind and kind not in get_args(Kind):
        raise typer.BadParameter(f"No alert is of the kind {kind!r}: they are {', '.join(get_args(Kind))}.")
    manager = AlertManager(settings())
    try:
        ends_at = _end(for_, until)
        number = manager.silence(ends_at, by, note, feed, kind, fingerprint)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    [this] = [one for one in manager.silences() if one.id == number]
    count = sum(this.matches(incident.alert) for incident in manager.open())
    typer.echo(f"Silence {number}, until {_clock(ends_at)}; of what is open it silences {count}.")


@app.command()
def silences() -> None:
    """Show the silences that are active, the next to end first.

    Example: crypto-platform alerts silences
    """
    from crypto_platform.alerting.manager import AlertManager
    from crypto_platform.settings import settings

    active = AlertManager(settings()).silences()
    for one in active:
        given = {"feed": one.feed, "kind": one.kind, "fingerprint": one.fingerprint}
        matchers = ", ".join(f"{name} {value}" for name, value in given.items() if value)
        note = f": {one.note}" if one.note else ""
        typer.echo(f"{one.id}  until {_clock(one.ends_at)}  {matchers}  by {one.created_by}{note}")
    if not active:
        typer.echo("Nothing is silenced.")


@app.command()
def unsilence(number: Annotated[int, typer.Argument(help="As `crypto-platform alerts silences` shows it.")]) -> None:
    """End a silence now; what still fires is sent.

    Example: crypto-platform alerts unsilence 3
    """
    from crypto_platform.alerting.manager import AlertManager
    from crypto_platform.settings import settings

    if not AlertManager(settings()).unsilence(number):
        typer.echo(f"There is no silence {number}: see crypto-platform alerts silences", err=True)
        raise typer.Exit(1)
    typer.echo("Ended.")


@app.command()
def resolve(fingerprint: Fingerprint) -> None:
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


def _end(for_: str, until: str) -> datetime:
    """The end that --for or --until names.

    Raises:
        ValueError: none is given, or both, or it cannot be read.
    """
    if bool(for_) == bool(until):
        raise ValueError("A silence needs one end: --for 2h or --until 2026-03-29T18:00.")
    if until:
        try:
            end = datetime.fromisoformat(until)
        except ValueError:
            raise ValueError(f"{until!r} is no time: write 2026-03-29T18:00.") from None
        return end if end.tzinfo else end.replace(tzinfo=UTC)
    length = re.fullmatch(r"(\d{1,6})([mhd])", for_)
    if length is None:
        raise ValueError(f"{for_!r} is no length of time: write 30m, 2h or 1d.")
    return datetime.now(UTC) + timedelta(**{_UNITS[length[2]]: int(length[1])})


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
