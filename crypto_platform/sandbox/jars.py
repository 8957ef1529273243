"""The jars of the Kafka broker and of Spark's Kafka connector, fetched with the Ivy that pyspark ships.

``python -m crypto_platform.sandbox.jars`` fetches what `ivy.xml` names and checks it against `jars.sha256`, which
pins every file; ``--pin`` writes that file anew instead, after `ivy.xml` was changed.
"""

import hashlib
import shutil
import ssl
import subprocess
import sys
import warnings
from pathlib import Path

from crypto_platform.sandbox import java
from crypto_platform.sandbox.spark import spark_home
from crypto_platform.settings import PROJECT_ROOT, Settings

PINS = PROJECT_ROOT / "jars.sha256"
ATTEMPTS = 3


class JarsError(RuntimeError):
    """The jars could not be fetched, or are not the pinned ones; the message says what to do."""


def fetch(settings: Settings, pin: bool = False) -> None:
    """Fetch the jars into `settings.jars`, replacing what is there, unless they are not the pinned ones.

    Raises:
        JarsError: Ivy failed, or a file is missing, unexpected or changed.
        JavaError: there is no Java.
    """
    fetch_listed(settings, PROJECT_ROOT / "ivy.xml", PINS, settings.jars, pin)


def fetch_listed(settings: Settings, ivy: Path, pins: Path, target: Path, pin: bool = False) -> None:
    """Fetch what `ivy` names into the folder `target`, as `fetch` does; `pins` has the SHA-256 of every file.

    Raises:
        JarsError: Ivy failed, or a file is missing, unexpected or changed.
        JavaError: there is no Java.
    """
    java.check(settings)
    # A cache of its own: Ivy takes a partly filled one of other tools at its word.
    cache, arriving = target.with_name(f"{target.name}.cache"), target.with_name(f"{target.name}.new")
    shutil.rmtree(arriving, ignore_errors=True)
    for folder in (cache, arriving):
        folder.mkdir(parents=True, exist_ok=True)
    _retrieve(settings, ivy, cache, arriving)
    if pin:
        pins.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(digests(arriving).items())))
    elif wrong := differences(arriving, pins):
        raise JarsError(f"not the jars that {pins} pins: {'; '.join(wrong)}")
    shutil.rmtree(target, ignore_errors=True)
    arriving.rename(target)
    shutil.rmtree(cache)


def _trust(store: Path) -> list[str]:
    """Options by which Java trusts the authorities that Python does, a company's proxy among them; `store` is written.

    None where Python names no file of them: then Java's own list holds.
    """
    # Only a fetch needs it, and every start of the systems reads this module.
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore
    from cryptography.utils import CryptographyDeprecationWarning
    from cryptography.x509 import load_pem_x509_certificates

    authorities = ssl.get_default_verify_paths().cafile
    if authorities is None:
        return []
    with warnings.catch_warnings():
        # Some that every system trusts are older than the standard.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        certificates = load_pem_x509_certificates(Path(authorities).read_bytes())
    found = [PKCS12Certificate(certificate, None) for certificate in certificates]
    # Java asks for a password, which protects nothing here: the certificates are public.
    password = b"changeit"
    store.write_bytes(serialize_java_truststore(found, BestAvailableEncryption(password)))
    return [f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={password.decode()}"]


def _retrieve(settings: Settings, ivy_file: Path, cache: Path, arriving: Path) -> None:
    command = [
        *(java.executable(settings), *_trust(cache / "authorities.p12")),
        *("-cp", f"{spark_home() / 'jars'}/*", "org.apache.ivy.Main"),
        *("-settings", str(PROJECT_ROOT / "ivysettings.xml"), "-ivy", str(ivy_file)),
        *("-cache", str(cache), "-types", "jar", "bundle"),
        *("-retrieve", f"{arriving}/[conf]/[artifact]-[revision].[ext]"),
    ]
    for _ in range(ATTEMPTS):
        ivy = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1800
        )
        if ivy.returncode == 0 and any(arriving.glob("*/*.jar")):
            return
    problems = [line.strip() for line in ivy.stdout.splitlines() if "::" in line or "ERROR" in line or "WARN" in line]
    raise JarsError("Ivy could not fetch the jars (is Maven Central reachable?):\n" + "\n".join(problems[-20:]))


def _pinned(pins: Path) -> dict[str, str]:
    """SHA-256 of every jar by its path in the folder."""
    lines = (line.split() for line in pins.read_text().splitlines())
    return {name: digest for digest, name in lines}


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every jar below `folder`, by its path there."""
    return {
        jar.relative_to(folder).as_posix(): hashlib.sha256(jar.read_bytes()).hexdigest()
        for jar in folder.glob("*/*.jar")
    }


def check(settings: Settings) -> None:
    """Look for every jar, by name alone: reading all of them takes a second.

    Raises:
        JarsError: one is missing.
    """
    missing = sorted(name for name in _pinned(PINS) if not (settings.jars / name).is_file())
    if missing:
        raise JarsError(
            f"{len(missing)} of the jars are not in {settings.jars}, such as {missing[0]}: run `make setup`, or "
            "set JVM_JARS to the folder that it filled"
        )


def differences(folder: Path, pins: Path | None = None) -> list[str]:
    """What is missing, unexpected or changed in `folder`, against the pins; empty when all is well."""
    pinned, found = _pinned(pins or PINS), digests(folder)
    return [
        f"{name} is {'missing' if name not in found else 'unexpected' if name not in pinned else 'changed'}"
        for name in sorted(pinned.keys() | found.keys())
        if pinned.get(name) != found.get(name)
    ]


def main() -> int:
    try:
        fetch(Settings(), pin="--pin" in sys.argv[1:])
    except (JarsError, java.JavaError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
