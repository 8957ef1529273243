"""The options --recordings, --simulated and --live: where the bars of one command come from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from crypto_platform.market import data_source
from crypto_platform.settings import ALPACA_DATA_URL, Origin, Settings


@dataclass(frozen=True)
class SourceOption:
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

    def origin(self, settings: Settings) -> Origin:
        """What the bars are; of no choice, those of the settings."""
        if self.live:
            return "market"
        if self.recordings is not None:
            return "recorded"
        return "simulated" if self.simulated else data_source.origin(settings)

    @contextmanager
    def address(self, settings: Settings) -> Iterator[Settings]:
        """`settings` with the source's address; a sandbox server of its own runs for as long as the block.

        Raises:
            RuntimeError: the server refuses the recordings; the message names the file and the remedy.
        """
        if self.live:
            yield settings.model_copy(update={"apca_api_data_url": ALPACA_DATA_URL, "data_origin": None})
        elif self.simulated or self.recordings is not None:
            from crypto_platform.sandbox.alpaca import running

            with running(recordings=self.recordings, simulated=self.simulated) as url:
                # The server's stock bars ask for a key, as Alpaca's do; it is never one's own.
                key = SecretStr("sandbox")
                yield settings.model_copy(
                    update={
                        "apca_api_data_url": url,
                        "data_origin": self.origin(settings),
                        "apca_api_key_id": key,
                        "apca_api_secret_key": key,
                    }
                )
        else:
            yield settings
