"""Where the bars of the settings come from: recordings, simulation, or Alpaca itself."""

from datetime import date

from crypto_platform.settings import Origin, Settings, settings


def origin(settings: Settings) -> Origin:
    """What the bars of the settings' source are: the market's, simulated ones, or recordings of it."""
    if settings.data_origin:
        return settings.data_origin
    if settings.apca_api_data_url is not None:
        return "market"
    return "simulated" if settings.sandbox_simulated else "recorded"


def label(settings: Settings) -> str:
    """What the bars are, where they are not the market's; else nothing."""
    found = origin(settings)
    return "" if found == "market" else found


def moves_on(settings: Settings) -> bool:
    """Whether the source of the settings has bars of today: Alpaca and simulated ones do, recordings end some day."""
    return origin(settings) != "recorded"


def market(settings: Settings) -> str:
    """What the source of the settings serves, for a person to read."""
    if settings.apca_api_data_url is not None:
        return settings.apca_api_data_url
    return "simulated" if settings.sandbox_simulated else f"recorded ({settings.sandbox_recordings})"


def again(feed: str, start: date, end: date) -> str:
    """The command that takes a feed's UTC days [start, end) through every stage again, from the source of the settings.

    It names the simulated market: the command of a terminal whose settings do not would take recordings in its place.
    """
    source = " --simulated" if origin(settings()) == "simulated" else ""
    return f"crypto-platform materialize --feed {feed} --from {start} --to {end}{source}"
