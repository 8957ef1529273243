"""`python -m crypto_platform_tests.export.child FORMAT FOLDER`: an export with the settings of the environment."""

import sys
from pathlib import Path

from crypto_platform.export.iceberg import export_iceberg
from crypto_platform.export.request import ExportRequest
from crypto_platform.export.run import export
from crypto_platform.export.tables import Parquet
from crypto_platform.settings import Settings

if __name__ == "__main__":
    form, folder = sys.argv[1], Path(sys.argv[2])
    if form == "iceberg":
        export_iceberg(ExportRequest(folder, ("AAPL",)), Settings())
    else:
        export(ExportRequest(folder, ("BTC/USD",), timeframe="1Hour"), Parquet(), Settings())
