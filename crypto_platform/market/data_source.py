"""Where the bars of the settings come from: recordings, simulation, or Alpaca itself."""

from datetime import date

from crypto_platform.settings import Settings, settings


def simulated(settings: Settings) -> bool:
    """Whether the source of the settings is the simulated market."""
    return settings.apca_api_data_url is None and settings.sandbox_simulated


def moves_on(settings: Settings) -> bool:
    """Whether the source of the settings has bars of today: Alpaca and simulated ones do, recordings end some day."""
    return settings.apca_api_data_url is not None or settings.sandbox_simulated


def market(settings: Settings) -> str:
    """What the source of the settings serves, for a person to read."""
    if settings.apca_api_data_url is not None:
        return settings.apca_api_data_url
    return "simulated" if simulated(settings) else f"recorded ({settings.sandbox_recordings})"


def origin(settings: Settings) -> str:
    """What the bars are, where they are not the market's."""
    return "simulated" if simulated(settings) else "" if moves_on(settings) else "recorded"


def again(feed: str, start: date, end: date) -> str:
    """The command that takes a feed's UTC days [start, end) through every stage again, from the source of the settings.

    It names the simulated market: the command of a terminal whose settings do not would take recordings in its place.
    """
    source = " --simulated" if simulated(settings()) else ""
    return f"crypto-platform materialize --feed {feed} --from {start} --to {end}{source}"
