"""Where a run's bars come from: what the settings say, a folder of recordings, simulation, or Alpaca itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import SecretStr

from crypto_platform.settings import ALPACA_DATA_URL, Settings, settings


@dataclass(frozen=True)
class Source:
    """One choice of three, or none: the address of the settings (the sandbox server, when that is not set).

    Raises:
        ValueError: more than one is chosen, or the folder is not there.
    """

    recordings: Path | None = None
    simulated: bool = False
    live: bool = False

    def __post_init__(self) -> None:
        if (self.recordings is not None) + self.simulated + self.live > 1:
            raise ValueError("choose one of --recordings, --simulated and --live")
        if self.recordings is not None and not self.recordings.is_dir():
            raise ValueError(f"{self.recordings} is not a folder: give one with CSV, CSV.gz or Parquet files of bars")

    @property
    def label(self) -> str:
        """What to call the bars wherever they are shown."""
        if self.recordings is not None:
            return f"recorded ({self.recordings})"
        return "simulated" if self.simulated else "Alpaca" if self.live else "as set"

    @contextmanager
    def address(self, settings: Settings) -> Iterator[Settings]:
        """`settings` with the source's address; a sandbox server of its own runs for as long as the block.

        Raises:
            RuntimeError: the server refuses the recordings; the message names the file and the mend.
        """
        if self.live:
            yield settings.model_copy(update={"apca_api_data_url": ALPACA_DATA_URL})
        elif self.simulated or self.recordings is not None:
            from crypto_platform.sandbox.alpaca import running

            with running(recordings=self.recordings, simulated=self.simulated) as url:
                # The server's stock bars ask for a key, as Alpaca's do; it is never one's own.
                key = SecretStr("sandbox")
                yield settings.model_copy(
                    update={"apca_api_data_url": url, "apca_api_key_id": key, "apca_api_secret_key": key}
                )
        else:
            yield settings


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
