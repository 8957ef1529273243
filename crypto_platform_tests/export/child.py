"""`python -m crypto_platform_tests.export.child FOLDER`: an export into it with the settings of the environment."""

import sys
from pathlib import Path

from crypto_platform.export.request import ExportRequest
from crypto_platform.export.run import export
from crypto_platform.export.tables import Parquet
from crypto_platform.settings import Settings

if __name__ == "__main__":
    export(ExportRequest(Path(sys.argv[1]), ("BTC/USD",), timeframe="1Hour"), Parquet(), Settings())
