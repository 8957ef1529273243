"""The jars of the rehearsal alone, which `make setup` leaves out: S3 for Spark, and the S3 that it is pointed at.

``python -m rehearsal.jars`` fetches what `rehearsal/ivy.xml` names and checks it against `rehearsal/jars.sha256`;
``--pin`` writes that file anew instead.
"""

import sys
from pathlib import Path

from crypto_platform.sandbox import jars, java
from crypto_platform.settings import Settings

_HERE = Path(__file__).parent
IVY, PINS = _HERE / "ivy.xml", _HERE / "jars.sha256"


def folder(settings: Settings) -> Path:
    """Folder with `s3a` and `s3proxy`, each with its jars."""
    return settings.crypto_platform_home / "rehearsal-jars"


def fetch(settings: Settings, pin: bool = False) -> None:
    """Have the jars in their folder; what is there as it is pinned is kept.

    Raises:
        JarsError: Ivy failed, or a file is missing, unexpected or changed.
        JavaError: there is no Java.
    """
    if pin or not PINS.exists() or jars.differences(folder(settings), PINS):
        jars.fetch_listed(settings, IVY, PINS, folder(settings), pin)


def main() -> int:
    try:
        fetch(Settings(), pin="--pin" in sys.argv[1:])
    except (jars.JarsError, java.JavaError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
