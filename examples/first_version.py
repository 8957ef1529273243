"""`python examples/first_version.py FOLDER`: three days of BTC/USD as a vendor may tell them at first.

The shipped recording of 1 to 3 March 2026 with one wrong print, 08:15 on the 3rd, and without ten minutes of the 2nd.
Loaded before the recording itself, it gives the ledger a correction and late bars for the notebooks to find.
"""

import sys
from pathlib import Path

import pandas as pd

RECORDING = Path(__file__).parents[1] / "recordings" / "BTC-USD_1Min.parquet"


def first_version() -> pd.DataFrame:
    """The bars, with the recording's columns."""
    bars = pd.read_parquet(RECORDING)
    bars = bars[bars["timestamp"] < pd.Timestamp("2026-03-04", tz="UTC")]
    wrong = bars["timestamp"] == pd.Timestamp("2026-03-03 08:15", tz="UTC")
    bars.loc[wrong, ["high", "close"]] *= 1.5
    bars.loc[wrong, "volume"] *= 100
    late = bars["timestamp"].between(
        pd.Timestamp("2026-03-02 12:00", tz="UTC"), pd.Timestamp("2026-03-02 12:10", tz="UTC"), inclusive="left"
    )
    return bars[~late]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    first_version().to_parquet(folder / "BTC-USD_1Min.parquet", index=False)
